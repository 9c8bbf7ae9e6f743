using Resilience.TestKit;

[assembly: AssemblyFixture(typeof(SharedRedis))]
