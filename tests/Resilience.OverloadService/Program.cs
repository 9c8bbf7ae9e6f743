using System.Diagnostics;
using System.Net;
using Resilience.Context;
using Resilience.Degrade;
using Resilience.OverloadService;

// A service that tests start as a child process to overload it: each request costs some processor time and waits for something slow.
// Arguments: --admission true|false --cpu-ms N --io-ms N --watch true --stages true, and any setting of the kit. With --watch a thread of its own tells every
// 100 ms how late the last sample was, how late this thread itself is, and how hard the thread pool presses: under starvation nobody answers a request.
// With --stages one tells every second how far the requests of that second have come.
WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.ClearProviders();
var stages = new Stages();
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Use(stages.CountConnection)));
builder.Services.AddDegradation().AddSystemSignals().AddAdmission();
WebApplication app = builder.Build();
app.Use(stages.CountRequest);
app.UseRouting();
if (builder.Configuration.GetValue("admission", true))
{
    app.UseAdmission();
}

int io = builder.Configuration.GetValue("io-ms", 20);
var blocked = new ManualResetEventSlim();
long turns = Calibrate(builder.Configuration.GetValue("cpu-ms", 8.0));
var held = new List<byte[]>();
foreach (Priority priority in Enum.GetValues<Priority>())
{
    app.MapGet($"/work/{priority}", WorkAsync).WithPriority(priority);
    app.MapGet($"/ping/{priority}", () => "pong").WithPriority(priority);
}

app.MapPost("/memory/{megabytes:int}", (int megabytes) =>
{
    for (int i = 0; i < megabytes; i++)
    {
        byte[] block = new byte[1 << 20];
        block.AsSpan().Fill(1);
        held.Add(block);
    }
}).BypassAdmission();
app.MapDelete("/memory", held.Clear).BypassAdmission();
app.MapPost("/io/{milliseconds:int}", (int milliseconds) => { io = milliseconds; }).BypassAdmission();

// Sync over async: each blocks its thread for work that needs another one.
app.MapPost("/starve", () =>
{
    for (int i = 0; i < Environment.ProcessorCount * 40; i++)
    {
        ThreadPool.UnsafeQueueUserWorkItem(_ => Task.Run(() => blocked.Wait(TimeSpan.FromSeconds(20))).GetAwaiter().GetResult(), null);
    }
}).BypassAdmission();
app.MapGet("/state", (AdmissionController admission, PressureMonitor pressure) =>
    FormattableString.Invariant($"hot={admission.IsHot} inside={admission.Inside} limit={admission.LimitOf(Priority.Normal)} memory={pressure.LevelOf(SystemSignals.Memory)} stuck={pressure.IsMemoryStuck}")).BypassAdmission();
app.Lifetime.ApplicationStarted.Register(() => Console.WriteLine($"listening {app.Urls.First()}"));
if (builder.Configuration.GetValue("watch", false))
{
    new Thread(() => Watch(app.Services.GetRequiredService<PressureMonitor>(), blocked)) { IsBackground = true, Priority = ThreadPriority.AboveNormal }.Start();
}

if (builder.Configuration.GetValue("stages", false))
{
    new Thread(() => stages.Tell(app.Services.GetRequiredService<AdmissionController>())) { IsBackground = true, Priority = ThreadPriority.AboveNormal }.Start();
}

await app.RunAsync();

async Task WorkAsync(HttpContext context)
{
    Burn(turns / 2);
    await Task.Delay(io);
    Burn(turns / 2);
    context.Response.ContentLength = 4; // so that the caller can use its connection again
    await context.Response.Body.WriteAsync("done"u8.ToArray());
}

static void Watch(PressureMonitor pressure, ManualResetEventSlim release)
{
    TimeSpan worst = TimeSpan.Zero;
    long worstHere = 0;
    for (long due = Environment.TickCount64 + 100; ; due = Environment.TickCount64 + 100)
    {
        Thread.Sleep(100);
        worstHere = Math.Max(worstHere, Environment.TickCount64 - due);
        worst = pressure.LateBy > worst ? pressure.LateBy : worst;
        PressureLevel level = pressure.LevelOf(SystemSignals.ThreadPool);
        Console.WriteLine(FormattableString.Invariant($"watch threadpool={level} late={worst.TotalMilliseconds:0} here={worstHere}"));
        if (level == PressureLevel.Critical)
        {
            release.Set(); // seen: let it breathe
        }
    }
}

static long Calibrate(double milliseconds)
{
    const long Probe = 2_000_000;
    Burn(Probe);
    double best = double.MaxValue;
    for (int i = 0; i < 5; i++)
    {
        long started = Stopwatch.GetTimestamp();
        Burn(Probe);
        best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    }

    return (long)(Probe * milliseconds / best);
}

static void Burn(long turns)
{
    ulong state = 88172645463325252;
    for (long i = 0; i < turns; i++)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }

    GC.KeepAlive(state);
}
