using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;

namespace Storefront.Operators;

/// <summary>
/// Who may switch features on the dashboard: whoever knows <c>Operators:Password</c>. Without one nobody can sign in, and the dashboard can
/// only be read. It stands for the sign-in that a real service has anyway.
/// </summary>
internal static class OperatorSignIn
{
    public const string Policy = "operators";

    private const string Form = """
        <!doctype html><html lang="en"><title>Operators</title><meta name="viewport" content="width=device-width">
        <form method="post"><label>Name <input name="name" required autofocus></label> <label>Password <input name="password" type="password" required></label> <button>Sign in</button></form>
        """;

    public static void AddOperators(this IServiceCollection services)
    {
        services.AddAuthentication(CookieAuthenticationDefaults.AuthenticationScheme).AddCookie(cookie =>
        {
            cookie.LoginPath = "/operators";
            cookie.Cookie.SameSite = SameSiteMode.Strict;
        });
        services.AddAuthorizationBuilder().AddPolicy(Policy, policy => policy.RequireAuthenticatedUser());
    }

    public static void MapOperators(this WebApplication app)
    {
        app.MapGet("/operators", () => Results.Content(Form, "text/html"));
        app.MapPost("/operators", SignInAsync);
    }

    private static async Task<IResult> SignInAsync(HttpContext context, IConfiguration configuration)
    {
        IFormCollection form = await context.Request.ReadFormAsync(context.RequestAborted);
        if (configuration["Operators:Password"] is not { Length: > 0 } password || !IsSame(password, form["password"].ToString()))
        {
            return Results.Content(Form, "text/html", statusCode: StatusCodes.Status403Forbidden);
        }

        var operatorName = new ClaimsIdentity([new Claim(ClaimTypes.Name, form["name"].ToString())], CookieAuthenticationDefaults.AuthenticationScheme);
        await context.SignInAsync(new ClaimsPrincipal(operatorName));
        return Results.Redirect("/resilience");
    }

    /// <summary>Takes the same time however many characters are right.</summary>
    private static bool IsSame(string expected, string given) =>
        CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(expected)), SHA256.HashData(Encoding.UTF8.GetBytes(given)));
}
