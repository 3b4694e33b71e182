// The shared part of the book's figures that answer back: plain JavaScript and SVG.
//
// A figure registers {name, title, controls, draw, describe, aspect, dragged}: `dragged` names the
// two controls whose point in the plane the pointer may move. `draw(state, picture)` writes
// marks into a Picture, which is text, so the same file draws the static picture under node when
// the book is built. In a page, each control is a labelled input that keyboard and touch can move
// (`shows`: what to say for each of a slider's values, where it is not the value itself);
// the state stands in the address, so a link shows what its sender saw.
(function (root) {
  "use strict";

  // ---- numbers and scales ---------------------------------------------------------------

  function linear(domain, range) {
    const slope = (range[1] - range[0]) / (domain[1] - domain[0]);
    const scale = (x) => range[0] + slope * (x - domain[0]);
    scale.invert = (pixel) => domain[0] + (pixel - range[0]) / slope;
    scale.ticks = (count) => niceTicks(domain[0], domain[1], count);
    return scale;
  }

  function logarithmic(domain, range) {
    const inner = linear([Math.log10(domain[0]), Math.log10(domain[1])], range);
    const scale = (x) => inner(Math.log10(x));
    scale.invert = (pixel) => Math.pow(10, inner.invert(pixel));
    scale.ticks = () => {
      const ticks = [];
      const last = Math.floor(Math.log10(domain[1]) + 1e-9);
      for (let k = Math.ceil(Math.log10(domain[0]) - 1e-9); k <= last; k += 1) {
        ticks.push(Math.pow(10, k));
      }
      return ticks;
    };
    return scale;
  }

  function niceTicks(low, high, count) {
    const rough = (high - low) / (count || 5);
    const power = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough - 1e-12) || 10);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) {
      ticks.push(Number((k * step).toPrecision(12)));
    }
    return ticks;
  }

  function format(value, digits) {
    return Number(value).toFixed(digits === undefined ? 2 : digits).replace("-", "\u2212");
  }

  // Standard normal numbers that are the same in every browser (mulberry32 and Box-Muller).
  function normals(seed, count) {
    let word = seed >>> 0;
    const uniform = () => {
      word = (word + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(word ^ (word >>> 15), word | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    const values = [];
    while (values.length < count) {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      values.push(radius * Math.cos(angle), radius * Math.sin(angle));
    }
    return values.slice(0, count);
  }

  // ---- formulas that several figures share -------------------------------------------------

  // P(N(0, 1) > x): the series of the error function for small x, its continued fraction for large.
  function tail(x) {
    const z = Math.abs(x) / Math.SQRT2;
    let upper;
    if (z < 2.5) {
      let [term, sum] = [z, z];
      for (let n = 1; term > 1e-17 * sum; n += 1) {
        term *= (2 * z * z) / (2 * n + 1);
        sum += term;
      }
      upper = 0.5 - (Math.exp(-z * z) * sum) / Math.sqrt(Math.PI);
    } else {
      let fraction = z;
      for (let n = 80; n > 0; n -= 1) fraction = z + n / 2 / fraction;
      upper = Math.exp(-z * z) / (2 * Math.sqrt(Math.PI) * fraction);
    }
    return x >= 0 ? upper : 1 - upper;
  }

  const numRelevant = (sparsity, numTokens) =>
    Math.min(numTokens - 1, Math.max(1, Math.round(sparsity * numTokens)));

  // Signal-to-noise ratio of a pooled feature of a long context (X3), with noise of variance one.
  const longContextSnr = (tau, context, regressor, sparsity, numTokens) =>
    Math.sqrt(numTokens / (1 - sparsity)) * sparsity * regressor * Math.exp(tau * context - tau * tau);

  // ---- drawing --------------------------------------------------------------------------

  const escape = (text) =>
    String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const round = (x) => (typeof x === "number" ? Number(x.toFixed(2)) : x);

  class Picture {
    constructor(width, height) {
      this.width = width;
      this.height = height;
      this.margin = { left: 58, right: 14, top: 14, bottom: 42 };
      this.marks = [];
      this.words = {}; // of each style, from the legend
      this.rows = []; // of the table of numbers: style, mark, x, y
    }

    note(mark, points, attributes) {
      const style = ((attributes && attributes.class) || "").replace(/^(curve|stem) ?/, "") || "marks";
      for (const [x, y] of points) this.rows.push([style, mark, x, y]);
    }

    // All that was drawn in the plane, as a table.
    csv() {
      const quoted = (text) => (/[",]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
      const lines = this.rows.map(([style, mark, x, y]) =>
        [quoted(this.words[style] || style), mark, Number(x.toPrecision(9)), Number(y.toPrecision(9))].join(","),
      );
      return `series,mark,x,y\n${lines.join("\n")}\n`;
    }

    // Set the scales of the plane: {x: [low, high], y: [low, high], logX, logY, equal}.
    plane(limits) {
      const m = this.margin;
      let x = limits.x;
      let y = limits.y;
      const inner = [this.width - m.left - m.right, this.height - m.top - m.bottom];
      if (limits.equal) {
        const unit = Math.max((x[1] - x[0]) / inner[0], (y[1] - y[0]) / inner[1]);
        const widen = (range, pixels) => {
          const middle = (range[0] + range[1]) / 2;
          return [middle - (unit * pixels) / 2, middle + (unit * pixels) / 2];
        };
        x = widen(x, inner[0]);
        y = widen(y, inner[1]);
      }
      this.x = (limits.logX ? logarithmic : linear)(x, [m.left, this.width - m.right]);
      this.y = (limits.logY ? logarithmic : linear)(y, [this.height - m.bottom, m.top]);
      this.limits = { x, y };
      return this;
    }

    mark(tag, attributes, content) {
      const written = Object.entries(attributes).map(([k, v]) => ` ${k}="${escape(round(v))}"`);
      this.marks.push(`<${tag}${written.join("")}>${content === undefined ? "" : content}</${tag}>`);
      return this;
    }

    axes(labels) {
      const m = this.margin;
      const bottom = this.height - m.bottom;
      const digits = (ticks) => (ticks.every(Number.isInteger) ? 0 : ticks[1] - ticks[0] < 0.1 ? 2 : 1);
      const write = (ticks, tick) =>
        ticks.some((t) => Math.abs(t) >= 1e4 || (t !== 0 && Math.abs(t) < 0.01))
          ? tick.toExponential(0)
          : format(tick, digits(ticks));
      const xTicks = labels.xTicks || this.x.ticks(this.width < 480 ? 4 : 7);
      const yTicks = this.y.ticks(this.height < 320 ? 4 : 6);
      for (const t of xTicks) {
        this.mark("line", { x1: this.x(t), x2: this.x(t), y1: m.top, y2: bottom, class: "grid" });
        this.text(this.x(t), bottom + 16, write(xTicks, t), { "text-anchor": "middle" });
      }
      for (const t of yTicks) {
        const y = this.y(t);
        this.mark("line", { x1: m.left, x2: this.width - m.right, y1: y, y2: y, class: "grid" });
        this.text(m.left - 6, y + 4, write(yTicks, t), { "text-anchor": "end" });
      }
      this.mark("path", { d: `M${m.left} ${m.top}V${bottom}H${this.width - m.right}`, class: "axis" });
      const middle = { x: (m.left + this.width - m.right) / 2, y: (m.top + bottom) / 2 };
      this.text(middle.x, this.height - 8, labels.x, { "text-anchor": "middle" });
      const turn = `rotate(-90 14 ${round(middle.y)})`;
      return this.text(14, middle.y, labels.y, { "text-anchor": "middle", transform: turn });
    }

    line(points, attributes) {
      this.note("line", points, attributes);
      const d = points.map((p, i) => `${i ? "L" : "M"}${round(this.x(p[0]))} ${round(this.y(p[1]))}`);
      return this.mark("path", { d: d.join(""), class: "curve", ...attributes });
    }

    points(points, attributes) {
      this.note("dot", points, attributes);
      for (const p of points) {
        this.mark("circle", { cx: this.x(p[0]), cy: this.y(p[1]), r: 3.5, ...attributes });
      }
      return this;
    }

    // A point that the reader may drag.
    handle(point, attributes) {
      this.grip = [this.x(point[0]), this.y(point[1])];
      return this.points([point], { r: 7, ...attributes });
    }

    cross(point, attributes) {
      this.note("cross", [point], attributes);
      const [x, y] = [round(this.x(point[0])), round(this.y(point[1]))];
      const d = `M${x - 8} ${y}H${x + 8}M${x} ${y - 8}V${y + 8}`;
      return this.mark("path", { d, class: "curve", ...attributes });
    }

    circle(centre, radius, attributes) {
      const r = Math.abs(this.x(centre[0] + radius) - this.x(centre[0]));
      return this.mark("circle", { cx: this.x(centre[0]), cy: this.y(centre[1]), r, ...attributes });
    }

    text(x, y, content, attributes) {
      return this.mark("text", { x, y, ...attributes }, escape(content));
    }

    // A legend above the plane: entries are [class of the sample, shape, words].
    legend(entries) {
      let x = this.margin.left;
      let y = 14;
      for (const [style, shape, words] of entries) {
        this.words[style] = words;
        const width = 36 + 7.6 * words.length;
        if (x + width > this.width && x > this.margin.left) {
          x = this.margin.left;
          y += 20;
        }
        if (shape === "dot") {
          this.mark("circle", { cx: x + 8, cy: y - 4, r: 4, class: style });
        } else if (shape === "cross") {
          this.mark("path", { d: `M${x + 1} ${y - 4}h14M${x + 8} ${y - 11}v14`, class: `curve ${style}` });
        } else {
          this.mark("path", { d: `M${x} ${y - 4}h16`, class: `curve ${style}` });
        }
        this.text(x + 21, y, words, {});
        x += width;
      }
      this.margin.top = y + 16;
      return this;
    }

    markup() {
      return this.marks.join("");
    }
  }

  function drawn(figure, state, width) {
    const picture = new Picture(width, Math.round(width * (width < 480 ? 0.95 : figure.aspect || 0.6)));
    figure.draw(state, picture);
    return picture;
  }

  function defaults(figure) {
    return Object.fromEntries(figure.controls.map((c) => [c.name, c.value]));
  }

  // The picture for readers without JavaScript, drawn when the book is built.
  function staticSvg(figure, alt) {
    const picture = drawn(figure, defaults(figure), 640);
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escape(alt)}" ` +
      `viewBox="0 0 ${picture.width} ${picture.height}">${picture.markup()}</svg>`
    );
  }

  // The table behind that picture.
  const staticCsv = (figure) => drawn(figure, defaults(figure), 640).csv();

  // In a page the figure takes over the places that are marked for it: explorable_page.js.
  function register(figure) {
    if (kit.mount) kit.mount(figure);
  }

  const shared = { longContextSnr, normals, numRelevant, tail };
  const kit = { Picture, defaults, drawn, format, linear, logarithmic, niceTicks, register, staticCsv, staticSvg, ...shared };
  if (typeof module === "object" && module.exports) module.exports = kit;
  else root.explorable = kit;
})(typeof window === "object" ? window : globalThis);
