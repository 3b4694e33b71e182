// Chapter "data": the tokens of one example on the plane of the context and the regressor (D1).
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  const CONTEXT_NORM = 2;
  const REGRESSOR_NORM = 1.5;
  const NOISE = kit.normals(2306, 400);

  // The plane is orthonormal: first coordinate along the context, second along the regressor.
  const formulas = {
    relevantToken: (label) => [CONTEXT_NORM, label * REGRESSOR_NORM],
    irrelevantMean: (label, dq, dw) => [-dq * CONTEXT_NORM, -dw * label * REGRESSOR_NORM],
    meanToken(sparsity, label, dq, dw) {
      const r = formulas.relevantToken(label);
      const u = formulas.irrelevantMean(label, dq, dw);
      return r.map((value, i) => sparsity * value + (1 - sparsity) * u[i]);
    },
    meanTokenDeviation: (sparsity, noise, numTokens) =>
      noise * Math.sqrt((1 - sparsity) / numTokens),
  };

  function sample(state) {
    const T = state.tokens;
    const relevant = kit.numRelevant(state.sparsity, T);
    const r = formulas.relevantToken(state.label);
    const u = formulas.irrelevantMean(state.label, state.dq, state.dw);
    const tokens = [];
    for (let t = 0; t < T; t += 1) {
      if (t < relevant) tokens.push(r);
      else tokens.push([u[0] + state.noise * NOISE[2 * t], u[1] + state.noise * NOISE[2 * t + 1]]);
    }
    const average = [0, 1].map((i) => tokens.reduce((sum, x) => sum + x[i], 0) / T);
    const share = relevant / T; // the sparsity that T tokens can have
    return {
      tokens,
      relevant,
      share,
      average,
      r,
      u,
      mean: formulas.meanToken(share, state.label, state.dq, state.dw),
      deviation: formulas.meanTokenDeviation(share, state.noise, T),
    };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas,
      sample,
      name: "moments",
      title: "tokens and their mean",
      aspect: 0.68,
      controls: [
        { name: "sparsity", label: "Sparsity \u03b6", min: 0.02, max: 0.9, step: 0.02, value: 0.2 },
        { name: "tokens", label: "Tokens T", min: 10, max: 200, step: 10, value: 50, digits: 0 },
        { name: "dq", label: "Nuisance \u03b4q", min: 0, max: 3, step: 0.1, value: 0.5, digits: 1 },
        { name: "dw", label: "Nuisance \u03b4w", min: -3, max: 3, step: 0.1, value: 0, digits: 1 },
        { name: "noise", label: "Noise \u03c3", min: 0, max: 2, step: 0.1, value: 1, digits: 1 },
        {
          name: "label",
          label: "Label y",
          kind: "select",
          value: 1,
          options: [
            { value: 1, label: "+1" },
            { value: -1, label: "\u22121" },
          ],
        },
      ],
      draw(state, picture) {
        const s = sample(state);
        const words = picture.width < 480 ? ["relevant", "irrelevant"] : ["relevant tokens", "irrelevant tokens"];
        picture.legend([
          ["relevant", "dot", words[0]],
          ["irrelevant", "dot", words[1]],
          ["theory", "cross", picture.width < 480 ? "mean, one \u03c3" : "mean token with its one-sigma circle"],
          ["measured", "dot", "average of the drawn tokens"],
        ]);
        // The limits follow the nuisance but not the noise drawn, so that sliders do not shake the view.
        const reach = 3.3 * state.noise;
        const span = (a, b) => [Math.min(a - 0.5, b - reach, -1), Math.max(a + 0.5, b + reach, 1)];
        picture.plane({ x: span(s.r[0], s.u[0]), y: span(s.r[1], s.u[1]), equal: true });
        picture.axes({ x: "along the context q*", y: "along the regressor w*" });
        picture.points(s.tokens.slice(s.relevant), { class: "irrelevant", r: 3, "fill-opacity": 0.6 });
        picture.line([s.u, s.r], { class: "curve muted", "stroke-dasharray": "4 4" });
        picture.points([s.r], { class: "relevant", r: 7 });
        picture.circle(s.mean, s.deviation, { class: "theory-ring" });
        picture.cross(s.mean, { class: "curve theory" });
        picture.points([s.average], { class: "measured", r: 4.5 });
        const label = `r, ${s.relevant} times`;
        const y = picture.y(s.r[1]) + (state.label > 0 ? -12 : 22);
        const anchor = picture.x(s.r[0]) > picture.width - 90 ? "end" : "middle";
        picture.text(picture.x(s.r[0]), y, label, { "text-anchor": anchor });
      },
      describe(state) {
        const s = sample(state);
        const pair = (v) => `(${format(v[0])}, ${format(v[1])})`;
        const off = Math.hypot(s.average[0] - s.mean[0], s.average[1] - s.mean[1]);
        return (
          `${s.relevant} of ${state.tokens} tokens are relevant, a share of ${format(s.share)}. ` +
          `The mean token is ${pair(s.mean)}, with a standard deviation of ${format(s.deviation)} ` +
          `in each direction; the drawn tokens average to ${pair(s.average)}, which is ${format(off)} away.`
        );
      },
    }),
  );
})();
