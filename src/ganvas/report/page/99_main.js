// Starts the page.
document.documentElement.dataset.ready = "1";
