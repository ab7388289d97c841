"""The pages in this process: forms, redirects and what they say, without JavaScript."""
