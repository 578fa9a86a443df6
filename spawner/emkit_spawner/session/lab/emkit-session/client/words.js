// Numbers as people say them.

export const duration = (seconds) => {
  if (seconds < 0) return "0 s";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  return hours ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${minutes} min`;
};

export const clock = (moment) => new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export const memory = (mb) => (mb < 1024 ? `${Math.round(mb)} MB` : `${(mb / 1024).toFixed(1)} GB`);

// "1.2 / 4.0 GB"; without a limit "1.2 GB"
export const ofMemory = (used, limit) => {
  if (!limit) return memory(used);
  const [number, unit] = memory(limit).split(" ");
  return `${unit === "GB" ? (used / 1024).toFixed(1) : Math.round(used)} / ${number} ${unit}`;
};

export const ofCpus = (used, limit) => (limit ? `${used.toFixed(1)} / ${limit} CPU` : `${used.toFixed(1)} CPU`);

// An element with properties and children; texts become text nodes, so nothing that the hub or a user wrote is ever markup.
export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
