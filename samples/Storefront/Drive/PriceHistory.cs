using System.Collections.Concurrent;
using Storefront.Catalogue;

namespace Storefront.Drive;

/// <summary>
/// What the visitors know of the catalogue's versions: which prices were asked for, which changes were confirmed. Every answer is judged by it.
/// Once a change has been confirmed, nobody who asks afterwards may be shown an older version; a version has one price; nobody may be shown
/// a price that was never set. A change whose outcome is not known, because its answer never came, may have happened or not.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class PriceHistory
{
    private readonly ConcurrentDictionary<int, Record> _products = new();

    /// <summary>The version that a read which begins now must at least show.</summary>
    public int Least(int id) => _products.TryGetValue(id, out Record? record) ? record.Least : 0;

    /// <summary>Notes that a change of the price is about to be asked for.</summary>
    public void Asked(int id, int priceCents) => Of(id).Asked(priceCents);

    /// <summary>Judges what was answered to a read or a confirmed change.</summary>
    /// <param name="product">The answer.</param>
    /// <param name="least">What <see cref="Least"/> said before the question.</param>
    /// <param name="isConfirmed">Whether it confirms a change, so that it binds all later reads.</param>
    /// <returns>What is wrong with it; <see langword="null"/> when it is right.</returns>
    public string? Judge(Product product, int least, bool isConfirmed = false) => Of(product.Id).Judge(product, least, isConfirmed);

    /// <summary>
    /// Forgets what no answer can be about any more, so that the history does not weigh in when the heap is compared. Only while no request is
    /// under way: one that is could still be shown an older version.
    /// </summary>
    public void Settle()
    {
        foreach (Record record in _products.Values)
        {
            record.Settle();
        }
    }

    private Record Of(int id) => _products.GetOrAdd(id, static id => new Record(ProductMaker.Make(id)));

    private sealed class Record(Product first)
    {
        private readonly Lock _lock = new(); // guards all below
        private readonly HashSet<int> _asked = [first.PriceCents];
        private readonly Dictionary<int, int> _prices = new() { [first.Version] = first.PriceCents };
        private int _changes;
        private int _least = first.Version;

        public int Least
        {
            get
            {
                lock (_lock)
                {
                    return _least;
                }
            }
        }

        public void Asked(int priceCents)
        {
            lock (_lock)
            {
                _changes++;
                _asked.Add(priceCents);
            }
        }

        public void Settle()
        {
            lock (_lock)
            {
                // Not what was asked for: the same price may have been asked for again, and have come or come yet.
                foreach (int version in _prices.Keys)
                {
                    if (version < _least)
                    {
                        _prices.Remove(version);
                    }
                }

                _prices.TrimExcess();
            }
        }

        public string? Judge(Product product, int least, bool isConfirmed)
        {
            lock (_lock)
            {
                if (product.Version < least || (isConfirmed && product.Version == least))
                {
                    return $"version {product.Version} was shown after version {least} had been confirmed";
                }

                if (product.Version > first.Version + _changes)
                {
                    return $"version {product.Version} was shown after {_changes} changes";
                }

                if (!_asked.Contains(product.PriceCents))
                {
                    return $"a price of {product.PriceCents} was shown, which nobody has set";
                }

                if (!_prices.TryAdd(product.Version, product.PriceCents) && _prices[product.Version] != product.PriceCents)
                {
                    return $"version {product.Version} had the price {_prices[product.Version]} and was shown with {product.PriceCents}";
                }

                if (isConfirmed && product.Version > _least)
                {
                    _least = product.Version;
                }

                return null;
            }
        }
    }
}
