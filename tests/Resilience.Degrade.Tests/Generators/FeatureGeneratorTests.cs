using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.Extensions.DependencyInjection;
using Resilience.Context;
using Resilience.Degrade.Generators;
using Resilience.Degrade.Tests.Generators.Decorated;

namespace Resilience.Degrade.Tests.Generators
{
    public sealed class FeatureGeneratorTests
    {
        private const string Source = """
            using System.Threading;
            using System.Threading.Tasks;
            using Resilience.Context;
            using Resilience.Degrade;

            namespace Shop;

            [Feature("reviews", Priority = Priority.Low)]
            public interface IReviews
            {
                string Title { get; set; }
                ValueTask<string?> GetAsync(int product, CancellationToken cancellationToken);
                Task AddAsync(string text);
                int Count(string @class);
            }
            """;

        [Fact]
        public void Run_Interface_GivesTheRecordedText()
        {
            GeneratorDriverRunResult result = Run(Source, out Compilation compilation);
            Assert.Empty(compilation.GetDiagnostics().Where(diagnostic => diagnostic.Severity >= DiagnosticSeverity.Warning));
            string text = Assert.Single(result.GeneratedTrees).ToString();
            string path = Path.Combine(AppContext.BaseDirectory, "Generators", "IReviews.snapshot.txt");
            if (Environment.GetEnvironmentVariable("UPDATE_SNAPSHOTS") is { } target)
            {
                File.WriteAllText(Path.Combine(target, "IReviews.snapshot.txt"), text);
                return;
            }

            Assert.Equal(File.ReadAllText(path), text);
        }

        [Theory]
        [InlineData("RKD001", "class C { [Feature(\"x\")] public interface IX { } }")]
        [InlineData("RKD001", "[Feature(\"x\")] public interface IX<T> { }")]
        [InlineData("RKD002", "[Feature(\"x\", SecurityCritical = true)] public interface IX { bool Allow(); }")]
        [InlineData("RKD003", "[Feature(\"x\")] public interface IX { event System.Action Gone; }")]
        [InlineData("RKD003", "[Feature(\"x\")] public interface IX { T Get<T>(); }")]
        [InlineData("RKD003", "[Feature(\"x\")] public interface IX { void Get(out int x); }")]
        [InlineData("RKD003", "[Feature(\"x\")] public interface IX { int this[int i] { get; } }")]
        public void Run_CannotBeDecorated_SaysWhy(string id, string source)
        {
            GeneratorDriverRunResult result = Run("using Resilience.Degrade;\n" + source, out _);
            Assert.Equal(id, Assert.Single(result.Diagnostics).Id);
            Assert.Empty(result.GeneratedTrees);
        }

        [Fact]
        public void Run_EditElsewhere_GeneratesNothingAnew()
        {
            CSharpCompilation compilation = Compile(Source);
            GeneratorDriver driver = CSharpGeneratorDriver.Create(
                [new FeatureGenerator().AsSourceGenerator()],
                driverOptions: new GeneratorDriverOptions(IncrementalGeneratorOutputKind.None, trackIncrementalGeneratorSteps: true));
            driver = driver.RunGenerators(compilation);
            driver = driver.RunGenerators(compilation.AddSyntaxTrees(CSharpSyntaxTree.ParseText("class Other { }")));
            Assert.All(
                driver.GetRunResult().Results.Single().TrackedOutputSteps.SelectMany(step => step.Value).SelectMany(step => step.Outputs),
                output => Assert.Equal(IncrementalStepRunReason.Cached, output.Reason));
        }

        [Fact]
        public async Task Decorator_OffOrFailing_TheFallbackAnswers()
        {
            await using DegradeHost host = await DegradeHost.StartAsync(
                null, builder => builder.Services.AddReviewsFeature<RealReviews, NoReviews>());
            IReviews reviews = host.Services.GetRequiredService<IReviews>();
            Assert.Equal("real 7", await reviews.GetAsync(7));
            Assert.Equal("none", await reviews.GetAsync(-1)); // the work fails
            Assert.Equal(3, reviews.Count());
            await reviews.AddAsync("x");
            Assert.Equal(1, host.Services.GetRequiredService<RealReviews>().Added);
            await host.Degradation.OverrideAsync(ReviewsFeature.Feature, FeatureState.Off, "test", "test");
            Assert.Equal("none", await reviews.GetAsync(7));
            Assert.Equal(0, reviews.Count());
            await reviews.AddAsync("x");
            Assert.Equal(1, host.Services.GetRequiredService<RealReviews>().Added);
            Assert.Equal(Priority.Low, ReviewsFeature.Feature.Priority);
        }

        private static GeneratorDriverRunResult Run(string source, out Compilation output)
        {
            GeneratorDriver driver = CSharpGeneratorDriver.Create(new FeatureGenerator());
            driver = driver.RunGeneratorsAndUpdateCompilation(Compile(source), out output, out _);
            return driver.GetRunResult();
        }

        private static CSharpCompilation Compile(string source)
        {
            string[] trusted = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);
            return CSharpCompilation.Create(
                "generated",
                [CSharpSyntaxTree.ParseText(source, path: "IReviews.cs")],
                trusted.Select(path => MetadataReference.CreateFromFile(path)),
                new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
        }
    }
}

namespace Resilience.Degrade.Tests.Generators.Decorated
{
    [Feature("g-reviews", Priority = Priority.Low)]
    public interface IReviews
    {
        ValueTask<string> GetAsync(int product, CancellationToken cancellationToken = default);

        Task AddAsync(string text);

        int Count();
    }

    public sealed class RealReviews : IReviews
    {
        public int Added { get; private set; }

        public ValueTask<string> GetAsync(int product, CancellationToken cancellationToken = default) =>
            product < 0 ? throw new InvalidOperationException() : new ValueTask<string>($"real {product}");

        public Task AddAsync(string text)
        {
            Added++;
            return Task.CompletedTask;
        }

        public int Count() => 3;
    }

    public sealed class NoReviews : IReviews
    {
        public ValueTask<string> GetAsync(int product, CancellationToken cancellationToken = default) => new("none");

        public Task AddAsync(string text) => Task.CompletedTask;

        public int Count() => 0;
    }
}
