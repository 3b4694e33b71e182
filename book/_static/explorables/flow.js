// Chapter "dynamics": the population flow in the plane of <w, w*> and <q, q*> (G5).
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  // Unit context and regressor, dq = 0, a = e = 0: only b = <w, w*> and c = <q, q*> move.
  const formulas = {
    odds: (sparsity) => sparsity / (1 - sparsity),
    mass: (sparsity, c) => 1 / (1 + Math.exp(-c) / formulas.odds(sparsity)),
    // B, what the pooled token holds of the label.
    label: (sparsity, dw, c) => {
      const M = formulas.mass(sparsity, c);
      return M - (1 - M) * dw;
    },
    loss: (sparsity, dw, b, c) => (1 - formulas.label(sparsity, dw, c) * b) ** 2 / 2,
    velocity(sparsity, dw, b, c) {
      const M = formulas.mass(sparsity, c);
      const B = M - (1 - M) * dw;
      return [(1 - B * b) * B, (1 - B * b) * b * (1 + dw) * M * (1 - M)];
    },
    saddle: (sparsity, dw) => Math.log(dw / formulas.odds(sparsity)),
    // Gamma, so that b^2 / 2 - Gamma(c) is kept.
    gamma(sparsity, dw, c) {
      const k = formulas.odds(sparsity);
      return (c + k * Math.exp(c) - dw * (c - Math.exp(-c) / k)) / (1 + dw);
    },
    // The head that parts the two ends, for a start at prompt score c.
    turningHead(sparsity, dw, c) {
      const saddle = formulas.saddle(sparsity, dw);
      const gap = formulas.gamma(sparsity, dw, c) - formulas.gamma(sparsity, dw, saddle);
      return (c > saddle ? -1 : 1) * Math.sqrt(2 * Math.max(gap, 0));
    },
    // Runge and Kutta's fourth-order steps, shorter where the flow is fast, to the time `until`.
    path(sparsity, dw, b, c, until) {
      const v = (x, y) => formulas.velocity(sparsity, dw, x, y);
      const points = [[b, c]];
      for (let t = 0; t < until && points.length < 4000; ) {
        const k1 = v(b, c);
        const speed = Math.hypot(k1[0], k1[1]);
        if (speed < 1e-6) break;
        const h = Math.min(0.03 / speed, 0.25, until - t);
        const k2 = v(b + (h / 2) * k1[0], c + (h / 2) * k1[1]);
        const k3 = v(b + (h / 2) * k2[0], c + (h / 2) * k2[1]);
        const k4 = v(b + h * k3[0], c + h * k3[1]);
        b += (h / 6) * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0]);
        c += (h / 6) * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1]);
        t += h;
        points.push([b, c]);
      }
      return points;
    },
  };

  const LIMITS = { b: [-3, 3], c: [-4, 6] };
  const inside = ([b, c]) => b >= LIMITS.b[0] && b <= LIMITS.b[1] && c >= LIMITS.c[0] && c <= LIMITS.c[1];
  const range = (low, high, count) =>
    Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));

  // Runs of neighbouring points inside the frame, each a line of its own.
  function pieces(points) {
    const runs = [[]];
    for (const p of points) {
      if (inside(p)) runs[runs.length - 1].push(p);
      else if (runs[runs.length - 1].length) runs.push([]);
    }
    return runs.filter((run) => run.length > 1);
  }

  function sample(state) {
    const { sparsity, dw, b, c } = state;
    const path = formulas.path(sparsity, dw, b, c, 400);
    const end = path[path.length - 1];
    return {
      path,
      end,
      loss: formulas.loss(sparsity, dw, end[0], end[1]),
      mass: formulas.mass(sparsity, end[1]),
      startMass: formulas.mass(sparsity, c),
      saddle: dw > 0 ? formulas.saddle(sparsity, dw) : null,
      threshold: dw > 0 ? formulas.turningHead(sparsity, dw, c) : null,
    };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas,
      sample,
      name: "flow",
      title: "population flow",
      aspect: 0.72,
      dragged: { x: "b", y: "c" },
      controls: [
        { name: "b", label: "Start, head \u27e8w, w\u2605\u27e9", min: -2.5, max: 2.5, step: 0.05, value: 0.4 },
        { name: "c", label: "Start, prompt \u27e8q, q\u2605\u27e9", min: -3, max: 5, step: 0.05, value: 0 },
        { name: "dw", label: "Nuisance \u03b4w", min: 0, max: 3, step: 0.05, value: 0.8 },
        { name: "sparsity", label: "Sparsity \u03b6", min: 0.05, max: 0.9, step: 0.05, value: 0.2 },
      ],
      draw(state, picture) {
        const s = sample(state);
        const { sparsity, dw } = state;
        const narrow = picture.width < 480;
        picture.legend([
          ["theory", "line", narrow ? "zero loss" : "zero loss: where flows end"],
          ["self", "line", narrow ? "parting line" : "parts the two ends"],
          ["prompt", "line", "path from your start"],
        ]);
        picture.plane({ x: LIMITS.b, y: LIMITS.c });
        picture.axes({ x: "head \u27e8w, w\u2605\u27e9", y: "prompt \u27e8q, q\u2605\u27e9" });
        for (const b of range(-2.7, 2.7, narrow ? 9 : 13)) {
          for (const c of range(-3.5, 5.5, narrow ? 8 : 11)) {
            const v = formulas.velocity(sparsity, dw, b, c);
            const [dx, dy] = [v[0] * (picture.x(1) - picture.x(0)), v[1] * (picture.y(1) - picture.y(0))];
            const speed = Math.hypot(dx, dy);
            const size = 12 * Math.min(1, 0.3 + 0.7 * (speed / 40));
            const from = [picture.x(b), picture.y(c)];
            const to = [from[0] + (size * dx) / (speed + 1e-9), from[1] + (size * dy) / (speed + 1e-9)];
            const d = `M${from[0].toFixed(1)} ${from[1].toFixed(1)}L${to[0].toFixed(1)} ${to[1].toFixed(1)}`;
            picture.mark("path", { d, class: "curve muted" });
            picture.mark("circle", { cx: to[0], cy: to[1], r: 1.6, fill: "currentColor", opacity: 0.5 });
          }
        }
        const cs = range(LIMITS.c[0], LIMITS.c[1], 401);
        const zero = cs.map((c) => [1 / formulas.label(sparsity, dw, c), c]);
        for (const run of pieces(zero)) picture.line(run, { class: "curve theory" });
        if (s.saddle !== null) {
          const parting = cs.map((c) => [formulas.turningHead(sparsity, dw, c), c]);
          for (const run of pieces(parting)) {
            picture.line(run, { class: "curve self", "stroke-dasharray": "7 4" });
          }
          if (inside([0, s.saddle])) picture.cross([0, s.saddle], { class: "curve self" });
        }
        for (const run of pieces(s.path)) picture.line(run, { class: "curve prompt" });
        if (inside(s.end)) picture.points([s.end], { class: "measured", r: 6 });
        picture.handle(s.path[0], { class: "prompt" });
      },
      describe(state) {
        const s = sample(state);
        const reads =
          s.loss > 0.01
            ? "the flow is all but stuck, with next to no attention to move"
            : s.end[0] > 0
              ? "the head reads the relevant tokens"
              : "the head reads the label off the irrelevant tokens, upside down";
        const parting =
          s.threshold === null
            ? "No start is parted from another, for irrelevant tokens carry no label."
            : `From this prompt, the parting head is ${format(s.threshold)}.`;
        return (
          `From attention mass ${format(s.startMass)}, the flow comes to mass ${format(s.mass)} with ` +
          `loss ${format(s.loss, 3)}: ${reads}. ${parting}`
        );
      },
    }),
  );
})();
