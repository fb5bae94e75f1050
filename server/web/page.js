// The built-in page.
