// Before rendering: the last chosen theme, else the system's.
try {
  const chosen = localStorage.getItem("thinklab-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.setAttribute("theme", chosen);
} catch { /* no storage in a file that is opened from some disks */ }
