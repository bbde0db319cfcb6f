"""Train the networks: data, teacher parameters, losses, stages. See RECIPE.md."""
