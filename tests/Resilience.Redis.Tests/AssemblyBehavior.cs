// Timeouts of a tenth of a second are part of what is tested here: nothing else of this project runs beside such a test.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
