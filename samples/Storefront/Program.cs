using Storefront;
using Storefront.Drive;

// Serves the shop; with --drive it also plays its visitors: see README.md.
DriveOptions options;
try
{
    options = DriveOptions.Parse(args);
}
catch (ArgumentException exception)
{
    await Console.Error.WriteLineAsync(exception.Message);
    return 2;
}

if (!options.Drive)
{
    await using WebApplication app = Shop.Build(options, products: null);
    await app.RunAsync();
    return 0;
}

return options.Soak ? await SoakCommand.RunAsync(options) : await DriveCommand.RunAsync(options);
