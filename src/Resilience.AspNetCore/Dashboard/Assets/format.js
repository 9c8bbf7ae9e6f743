// Figures as one reads them at three in the morning: short, of even width, and never more exact than they are.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const whole = new Intl.NumberFormat('en');

export function count(value) {
  return whole.format(value);
}

export function rate(value) {
  return value === 0 ? '0' : value < 10 ? value.toFixed(1) : whole.format(Math.round(value));
}

export function percent(value) {
  return value === null || value === undefined ? '–' : `${(value * 100).toFixed(value >= 0.9995 || value < 0.0005 ? 0 : 1)} %`;
}

export function level(value) {
  return Math.abs(value) < 10 ? value.toFixed(3) : value.toFixed(1);
}

export function age(seconds) {
  if (seconds < 10) {
    return `${Math.max(0, seconds).toFixed(1)} s`;
  }
  const total = Math.round(seconds);
  return total < 120 ? `${total} s`
    : total < 7200 ? `${Math.floor(total / 60)} min`
    : total < 172800 ? `${Math.floor(total / 3600)} h ${Math.floor(total % 3600 / 60)} min`
    : `${Math.floor(total / 86400)} d`;
}

export function left(seconds) {
  const total = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(total / 60);
  return minutes < 60
    ? `${minutes}:${String(total % 60).padStart(2, '0')} left`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}

// The time of day, with the date when it is not today by the server's clock.
export function time(iso, now) {
  const at = new Date(iso);
  const text = clock.format(at);
  return day.format(at) === day.format(now) ? text : `${day.format(at)} ${text}`;
}
