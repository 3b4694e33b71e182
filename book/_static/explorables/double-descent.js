// Chapter "performance": heads in closed form against the number of examples per dimension.
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  const formulas = {
    // Ridge regression (X5); infinite penalty is one gradient step, none is least squares.
    ridgeError(snr, samplesPerDim, ridge) {
      const gamma = 1 / samplesPerDim;
      const margin = (snr * snr) / Math.sqrt(snr * snr + gamma);
      if (ridge === "infinite") return kit.tail(margin);
      const root = Math.sqrt((1 - gamma + ridge) ** 2 + 4 * gamma * ridge);
      return kit.tail(margin * Math.sqrt((2 * root) / (1 + gamma + ridge + root)));
    },
  };

  const ALPHAS = [];
  for (let k = -60; k <= 60; k += 1) ALPHAS.push(Math.pow(10, k / 60));

  function sample(state) {
    const snr = kit.longContextSnr(state.scale, 1.5, state.regressor, state.sparsity, state.tokens);
    const ridge = Math.pow(10, state.ridge);
    const curve = (penalty) => ALPHAS.map((alpha) => [alpha, formulas.ridgeError(snr, alpha, penalty)]);
    return { snr, ridge, least: curve(0), middle: curve(ridge), gradient: curve("infinite") };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas,
      sample,
      name: "double-descent",
      title: "heads against examples per dimension",
      aspect: 0.58,
      controls: [
        { name: "ridge", label: "Ridge penalty, log10", min: -4, max: 2, step: 0.25, value: -1 },
        { name: "scale", label: "Prompt scale \u03c4", min: 0, max: 1.2, step: 0.05, value: 0.75 },
        { name: "regressor", label: "Regressor norm W", min: 0.2, max: 3, step: 0.1, value: 1, digits: 1 },
        { name: "sparsity", label: "Sparsity \u03b6", min: 0.02, max: 0.5, step: 0.02, value: 0.1 },
        { name: "tokens", label: "Tokens T", min: 20, max: 400, step: 20, value: 200, digits: 0 },
      ],
      draw(state, picture) {
        const s = sample(state);
        const narrow = picture.width < 480;
        picture.legend([
          ["relevant", "line", narrow ? "none" : "least squares"],
          ["irrelevant", "line", narrow ? "ridge" : "ridge regression"],
          ["theory", "line", narrow ? "one step" : "one gradient step"],
        ]);
        const floor = Math.max(1e-8, Math.min(0.1, Math.pow(10, Math.floor(Math.log10(s.gradient[120][1] + 1e-9)))));
        const seen = (points) => points.map(([x, y]) => [x, Math.max(y, floor)]);
        picture.plane({ x: [0.1, 10], y: [floor, 1], logX: true, logY: true });
        picture.axes({ x: "examples per dimension n/d", y: "error" });
        picture.line(seen(s.least), { class: "curve relevant" });
        picture.line(seen(s.middle), { class: "curve irrelevant" });
        picture.line(seen(s.gradient), { class: "curve theory", "stroke-dasharray": "7 4" });
      },
      describe(state) {
        const s = sample(state);
        const small = (error) => (error < 1e-3 ? error.toExponential(1) : format(error, 4));
        return (
          `The signal-to-noise ratio of a pooled feature is ${format(s.snr)}. At n = d least squares ` +
          `errs half of the time, ridge with penalty ${s.ridge.toPrecision(2)} has error ` +
          `${small(s.middle[60][1])}, and one gradient step has ${small(s.gradient[60][1])}.`
        );
      },
    }),
  );
})();
