"""How a plan and a publish are told: to a person, as JSON, to GitHub Actions."""
