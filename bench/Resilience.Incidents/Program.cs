using Resilience.Incidents.Replay;

return await ReplayCommand.RunAsync(args);
