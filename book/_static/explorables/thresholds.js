// Chapter "expressivity": which of the four models can reach zero error at a sparsity and strength.
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  // Where the infimum of the leak is looked for first.
  const STEPS = [];
  for (let i = 0; i <= 400; i += 1) STEPS.push(Math.pow(10, -3 + i / 80));

  const odds = (sparsity) => sparsity / (1 - sparsity);

  // (1 + k)(1 - M) for x = s (1 + Delta) < 0, with t = -Delta x.
  const leak = (k, strength, t) => k / (1 + k * Math.exp(-t / strength)) + 1 / (1 + k * Math.exp(t));

  function leastLeak(k, strength) {
    const best = STEPS.reduce((b, t) => (leak(k, strength, t) < leak(k, strength, b) ? t : b));
    let low = best / 1.03;
    let high = best * 1.03;
    for (let i = 0; i < 60; i += 1) {
      const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
      if (leak(k, strength, a) < leak(k, strength, b)) high = b;
      else low = a;
    }
    return Math.min(k, leak(k, strength, (low + high) / 2)); // k is the limit of large t
  }

  const formulas = {
    linear: (sparsity) => Math.sqrt(odds(sparsity)),
    mean: (sparsity) => odds(sparsity),
    selfAttention(sparsity) {
      const k = odds(sparsity);
      if (k >= 1) return k;
      let low = 1 / k;
      let high = 1 / k + 1 + k;
      for (let i = 0; i < 50; i += 1) {
        const middle = (low + high) / 2;
        if (((1 + middle) * leastLeak(k, middle)) / (1 + k) < 1) low = middle;
        else high = middle;
      }
      return (low + high) / 2;
    },
    // Gamma chi that the separating prompt must exceed on the joint dataset.
    promptScale: (sparsity, strength) => Math.log(strength / odds(sparsity)) / (1 + strength),
  };

  const ZETAS = [];
  for (let i = 5; i <= 95; i += 1) ZETAS.push(i / 100);
  const MODELS = [
    ["self", "self-attention", "1/3", "selfAttention"],
    ["linear", "linear attention", "1/6", "linear"],
    ["mean", "mean pooling", "1/3", "mean"],
  ];
  // Computed when they are first drawn, not while the page loads.
  let computed;
  const curves = () => (computed ||= MODELS.map(([, , , name]) => ZETAS.map((zeta) => [zeta, formulas[name](zeta)])));

  function sample(state) {
    const verdicts = MODELS.map(([style, words, least, name]) => {
      const threshold = formulas[name](state.sparsity);
      return { style, words, least, threshold, fails: state.strength >= threshold };
    });
    return { verdicts, scale: formulas.promptScale(state.sparsity, state.strength) };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas,
      sample,
      name: "thresholds",
      title: "the map of thresholds",
      aspect: 0.66,
      dragged: { x: "sparsity", y: "strength" },
      controls: [
        { name: "sparsity", label: "Sparsity \u03b6", min: 0.05, max: 0.95, step: 0.01, value: 0.2 },
        { name: "strength", label: "Strength \u0394", min: 0.1, max: 20, step: 0.1, value: 2, digits: 1 },
      ],
      draw(state, picture) {
        const s = sample(state);
        const narrow = picture.width < 480;
        picture.legend([
          ["prompt", "dot", "prompt-attention: 0"],
          ...s.verdicts.map((v) => [
            v.style,
            "line",
            `${v.words}: ${v.fails ? (narrow ? v.least : `at least ${v.least}`) : "0"}`,
          ]),
        ]);
        picture.plane({ x: [0, 1], y: [0.05, 25], logY: true });
        picture.axes({ x: "sparsity \u03b6", y: "strength \u0394" });
        const x = state.sparsity;
        picture.line([[x, 0.05], [x, 25]], { class: "curve muted", "stroke-dasharray": "4 4" });
        s.verdicts.forEach((v, i) => {
          // Self-attention and mean pooling coincide from one half on: the later one is dashed.
          const dash = v.style === "mean" ? { "stroke-dasharray": "7 5" } : {};
          picture.line(curves()[i], { class: `curve ${v.style}`, ...dash });
          picture.points([[x, v.threshold]], { class: v.style, r: 4 });
        });
        picture.handle([x, state.strength], { class: "prompt" });
      },
      describe(state) {
        const s = sample(state);
        const failing = s.verdicts.filter((v) => v.fails).map((v) => `${v.words} (from ${format(v.threshold)} on)`);
        const able = s.verdicts.filter((v) => !v.fails).map((v) => `${v.words} (up to ${format(v.threshold)})`);
        const needs =
          s.scale > 0
            ? `prompt-attention does with a scale \u0393\u03c7 above ${format(s.scale)}`
            : "prompt-attention does, even with uniform attention";
        return (
          `At sparsity ${format(state.sparsity)} and strength ${format(state.strength, 1)}, ` +
          `zero error is out of reach for ${failing.join(", ") || "none of the models"}; ` +
          `it is within reach for ${able.join(", ") || "no other model"}, and ${needs}.`
        );
      },
    }),
  );
})();
