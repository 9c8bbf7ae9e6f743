namespace Resilience.Incidents.Instruments;

/// <summary>What is alive: the heap after full, blocking, compacting collections, with everything finalisable finalised.</summary>
internal static class LiveHeap
{
    public static long Bytes()
    {
        for (int i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        return GC.GetTotalMemory(forceFullCollection: true);
    }

    /// <summary>The slope of a straight line through points, least squares.</summary>
    public static double Slope(IReadOnlyList<PlotPoint> points)
    {
        double meanX = points.Average(static point => point.X);
        double meanY = points.Average(static point => point.Y);
        return points.Sum(point => (point.X - meanX) * (point.Y - meanY)) / points.Sum(point => (point.X - meanX) * (point.X - meanX));
    }
}
