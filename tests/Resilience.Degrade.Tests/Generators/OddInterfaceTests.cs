using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Degrade.Generators;
using Resilience.Degrade.Tests.Generators.Ended;

namespace Resilience.Degrade.Tests.Generators
{
    /// <summary>Interfaces as people really write them: what is generated compiles without a warning, or says what is wrong.</summary>
    public sealed class OddInterfaceTests
    {
        [Theory]
        [InlineData("const int Most = 10; Task GetAsync();")]
        [InlineData("static readonly int Most = 10; static int Twice(int x) => 2 * x; static int Last { get; set; } Task GetAsync();")]
        [InlineData("class Options { } enum Kind { A } Task<Kind> GetAsync(Options options);")]
        [InlineData("private int Helper() => 1; Task<int> GetAsync() => Task.FromResult(Helper());")]
        [InlineData("sealed int Twice(int x) => 2 * x; Task GetAsync();")]
        [InlineData("protected int Helper() => 1; Task<int> GetAsync() => Task.FromResult(Helper());")]
        [InlineData("static virtual int Last => 1; Task GetAsync();")]
        [InlineData("[System.Obsolete] Task GetAsync(); [System.Obsolete(\"not any more\")] int Count { get; }")]
        [InlineData("Task GetAsync(int await, int record, int field, int value, int @class, int async); ValueTask SetAsync(int await); int Get(int await);")]
        [InlineData("Task GetAsync(int Item7, int Rest, string ToString, int GetHashCode, int Item1);")]
        [InlineData("Task GetAsync(int __self, int __none, int __0);")]
        [InlineData("Task<string?> GetAsync(string? a, (int X, string? Y) b, System.Collections.Generic.IReadOnlyDictionary<string, string?[]?>? c); Task<string>? MaybeAsync();")]
        [InlineData("Task GetAsync(int a = 3, string? b = null, System.Threading.CancellationToken token = default); Task ManyAsync(params int[] all);")]
        [InlineData("System.Collections.Generic.IAsyncEnumerable<int> All(System.Threading.CancellationToken token); System.Span<int> Window();")]
        [InlineData("ValueTask<(int A, int B)> GetAsync(System.Threading.CancellationToken first, System.Threading.CancellationToken second); dynamic Any(dynamic x);")]
        [InlineData("string Name { get; } int Size { set; } int Both { get; set; }")]
        public void Run_OddMembers_CompileWithoutAWarning(string members)
        {
            GeneratorDriverRunResult result = Run($"namespace @event.@class;\n[Feature(\"odd\")] public interface IOdd {{ {members} }}", out Compilation compilation);
            Assert.Empty(result.Diagnostics);
            Assert.Empty(compilation.GetDiagnostics().Where(diagnostic => diagnostic.Severity >= DiagnosticSeverity.Warning));
            Assert.Single(result.GeneratedTrees);
        }

        [Theory]
        [InlineData("public interface IBase<T> { Task<T> GetAsync(T value); int Count => 0; } [Feature(\"odd\")] public interface IOdd : IBase<int>, IBase<string> { }")]
        [InlineData("public interface IBase { Task<int> GetAsync(); } [Feature(\"odd\")] public interface IOdd : IBase { new Task<string> GetAsync(); Task<int> IBase.GetAsync() => Task.FromResult(3); }")]
        [InlineData("public interface IBase { int Count { get; } } [Feature(\"odd\")] public interface IOdd : IBase { int IBase.Count => 3; Task GetAsync(); }")]
        [InlineData("[Feature(\"odd\")] internal interface IOdd : System.IDisposable, System.IAsyncDisposable { Task GetAsync(); }")]
        [InlineData("[Feature(\"odd\", SecurityCritical = true)] public interface IOdd : System.IDisposable, System.IAsyncDisposable { Task GetAsync(); }")]
        [InlineData("[Feature(\"odd\")] public interface Plain { Task GetAsync(); }")]
        public void Run_OddInterfaces_CompileWithoutAWarning(string source)
        {
            GeneratorDriverRunResult result = Run(source, out Compilation compilation);
            Assert.Empty(result.Diagnostics);
            Assert.Empty(compilation.GetDiagnostics().Where(diagnostic => diagnostic.Severity >= DiagnosticSeverity.Warning));
            Assert.Single(result.GeneratedTrees);
        }

        [Theory]
        [InlineData("static abstract int Make();")]
        [InlineData("static abstract int Last { get; }")]
        [InlineData("static abstract IOdd operator +(IOdd a, IOdd b);")]
        [InlineData("protected abstract int Helper();")]
        [InlineData("string Name { get; init; }")]
        [InlineData("unsafe void Read(int* at);")]
        [InlineData("ref int At(int i);")]
        [InlineData("void Swap(ref int x);")]
        [InlineData("void Fill(System.Span<int> x);")]
        public void Run_MembersThatCannotBeDecorated_SayWhy(string member)
        {
            GeneratorDriverRunResult result = Run($"[Feature(\"odd\")] public interface IOdd {{ {member} }}", out _);
            Assert.All(result.Diagnostics, diagnostic => Assert.Equal("RKD003", diagnostic.Id));
            Assert.NotEmpty(result.Diagnostics);
            Assert.Empty(result.GeneratedTrees);
        }

        /// <summary>The end is no part of the feature: that it is off, and may only fail closed, does not keep either from being ended.</summary>
        [Fact]
        public async Task Dispose_FeatureIsOffAndFailsClosed_EndsBoth()
        {
            await using DegradeHost host = await DegradeHost.StartAsync(new() { ["Features:g-ended"] = "Off" });
            var work = new Vault();
            var instead = new Vault();
            IVault vault = VaultFeature.Wrap(host.Degradation, work, instead);
            await Assert.ThrowsAsync<FeatureUnavailableException>(() => vault.OpenAsync());
            await vault.DisposeAsync();
            Assert.Equal((1, 1), (work.Ended, instead.Ended));
            work.Failure = new IOException();
            Assert.Throws<IOException>(((IDisposable)vault).Dispose);
            Assert.Equal((2, 2), (work.Ended, instead.Ended));
        }

        private static GeneratorDriverRunResult Run(string source, out Compilation output)
        {
            string[] trusted = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);
            var compilation = CSharpCompilation.Create(
                "odd",
                [CSharpSyntaxTree.ParseText("using System.Threading.Tasks;\nusing Resilience.Degrade;\n" + source, path: "IOdd.cs")],
                trusted.Select(path => MetadataReference.CreateFromFile(path)),
                new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable, allowUnsafe: true));
            GeneratorDriver driver = CSharpGeneratorDriver.Create(new FeatureGenerator());
            driver = driver.RunGeneratorsAndUpdateCompilation(compilation, out output, out _);
            return driver.GetRunResult();
        }
    }
}

namespace Resilience.Degrade.Tests.Generators.Ended
{
    [Feature("g-ended", SecurityCritical = true)]
    public interface IVault : IDisposable, IAsyncDisposable
    {
        Task OpenAsync();
    }

    public sealed class Vault : IVault
    {
        public int Ended { get; private set; }

        public Exception? Failure { get; set; }

        public Task OpenAsync() => Task.CompletedTask;

        public void Dispose()
        {
            Ended++;
            if (Failure is not null)
            {
                throw Failure;
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
