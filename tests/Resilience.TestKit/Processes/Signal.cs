namespace Resilience.TestKit;

/// <summary>The signals of Linux that tests send.</summary>
public enum Signal
{
    /// <summary>SIGHUP.</summary>
    Hangup = 1,

    /// <summary>SIGINT: what Ctrl+C sends.</summary>
    Interrupt = 2,

    /// <summary>SIGQUIT.</summary>
    Quit = 3,

    /// <summary>SIGKILL: ends it without a word.</summary>
    Kill = 9,

    /// <summary>SIGTERM: the polite request that orchestrators send.</summary>
    Terminate = 15,

    /// <summary>SIGCONT: goes on after <see cref="Stop"/>.</summary>
    Continue = 18,

    /// <summary>SIGSTOP: freezes it; its sockets stay open and say nothing.</summary>
    Stop = 19,
}
