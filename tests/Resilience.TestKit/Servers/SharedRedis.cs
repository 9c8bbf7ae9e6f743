namespace Resilience.TestKit;

/// <summary>One redis-server for all tests of an assembly; each test keeps to keys of its own. Private ones: <see cref="RedisServer.StartNewAsync"/>.</summary>
public sealed class SharedRedis() : SharedServer<RedisServer>(() => RedisServer.StartNewAsync());
