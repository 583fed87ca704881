// Before anything is drawn: the theme that was chosen here last; without one, the system's.
try {
  const chosen = localStorage.getItem("thinklab-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.setAttribute("theme", chosen);
} catch { /* no storage in a file that is opened from some disks */ }
