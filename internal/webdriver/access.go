package webdriver

// Audit returns what in the page is hard to use: text whose contrast with its
// background is below 4.5 to 1, controls and images without a name, and what a
// mouse can press and a keyboard cannot reach.
func (b *Browser) Audit() []string {
	b.t.Helper()
	var found []string
	b.Run(audit, &found)
	return found
}

const audit = `
const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
const over = (colours) => { // painted one over the other, on white
  canvas.fillStyle = '#fff';
  canvas.fillRect(0, 0, 1, 1);
  for (const [colour, opacity] of colours) {
    canvas.globalAlpha = opacity;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
  }
  canvas.globalAlpha = 1;
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = walker.nextNode(); text; text = walker.nextNode()) {
  const element = text.parentElement, box = element.getBoundingClientRect();
  if (!text.data.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName) || box.width < 2 || box.right < 0 || !element.checkVisibility()) continue;
  let opacity = 1;
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    const style = getComputedStyle(e);
    layers.unshift([style.backgroundColor, 1]);
    opacity *= style.opacity;
  }
  const style = getComputedStyle(element);
  const front = element.closest('svg') ? style.fill : style.color;
  const [a, b] = [luminance(over([...layers, [front, opacity]])), luminance(over(layers))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) found.push('contrast ' + contrast.toFixed(2) + ': ' + text.data.trim().slice(0, 60));
}
for (const e of document.querySelectorAll('button, input, select, textarea, a, summary, [tabindex]')) {
  const named = e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length;
  if (!named) found.push('no name: ' + e.outerHTML.slice(0, 80));
  if (e.tabIndex < 0 && !e.hasAttribute('tabindex')) found.push('not reached by the keyboard: ' + e.outerHTML.slice(0, 80));
}
for (const e of document.querySelectorAll('img:not([alt]), svg:not([aria-label]):not([aria-hidden])')) found.push('no text: ' + e.outerHTML.slice(0, 80));
if (!document.documentElement.lang) found.push('no language');
return found;`
