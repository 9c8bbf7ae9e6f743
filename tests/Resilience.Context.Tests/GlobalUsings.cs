global using Resilience.TestKit;
