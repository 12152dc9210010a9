// Before the first paint, so that a chosen theme does not flash; a file, since the policy forbids inline scripts.
{
  const theme = localStorage.getItem('kith-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
}
