System.Console.WriteLine("compare | hitratio");
