// What the widgets' scripts share: this stands before each of them (assets.py).
const SVG = "http://www.w3.org/2000/svg";

function fill(node, parent, text, attributes) {
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

function make(name, parent, text, attributes = {}) {
  return fill(document.createElement(name), parent, text, attributes);
}

function draw(name, attributes, parent, text) {
  return fill(document.createElementNS(SVG, name), parent, text, attributes);
}

// 1, 2 or 5 times a power of ten: about `count` round steps up to `top`.
function roundStep(top, count) {
  const raw = top / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
}
