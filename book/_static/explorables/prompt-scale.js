// Chapter "performance": error against prompt scale, and where the long-context formula freezes.
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  const DRAWS = 120;
  const MOST = 200;
  const NOISE = kit.normals(2306, DRAWS * MOST);

  const formulas = {
    // Error of one gradient step (X4).
    gradientHeadError: (snr, samplesPerDim) =>
      kit.tail((snr * snr) / Math.sqrt(snr * snr + 1 / samplesPerDim)),
    freezingScale: (numIrrelevant) => Math.sqrt(Math.log(numIrrelevant) / 2),
    // Mass and spread of one example from the scores of its irrelevant tokens (X1).
    massAndSpread(tau, context, numRelevant, noise) {
      const top = Math.max(context, ...noise);
      let [first, second] = [0, 0];
      for (const g of noise) {
        const weight = Math.exp(tau * (g - top));
        first += weight;
        second += weight * weight;
      }
      const relevant = numRelevant * Math.exp(tau * (context - top));
      const total = relevant + first;
      return [relevant / total, second / (total * total)];
    },
    // Error of one gradient step for any number of tokens (X2), from pairs of mass and spread.
    averagedHeadError(pairs, regressor, samplesPerDim) {
      const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
      const signal = mean(pairs.map(([m]) => m)) * regressor;
      const noise = mean(pairs.map(([, v]) => v)) / samplesPerDim;
      const cosine = signal / Math.sqrt(signal * signal + noise);
      return mean(pairs.map(([m, v]) => kit.tail((m / Math.sqrt(v)) * regressor * cosine)));
    },
  };

  function sample(state) {
    const T = state.tokens;
    const relevant = kit.numRelevant(state.sparsity, T);
    const share = relevant / T; // the sparsity that T tokens can have
    const rows = [];
    for (let i = 0; i < DRAWS; i += 1) rows.push(NOISE.slice(i * MOST, i * MOST + T - relevant));
    const exact = (tau) => {
      const pairs = rows.map((row) => formulas.massAndSpread(tau, state.context, relevant, row));
      return formulas.averagedHeadError(pairs, state.regressor, state.samples);
    };
    const long = (tau) => {
      const snr = kit.longContextSnr(tau, state.context, state.regressor, share, T);
      return formulas.gradientHeadError(snr, state.samples);
    };
    const scales = [];
    for (let tau = 0; tau < 4.001; tau += 0.1) scales.push(tau);
    const errors = scales.map(exact);
    return {
      relevant,
      share,
      scales,
      errors,
      long: scales.map(long),
      best: scales[errors.indexOf(Math.min(...errors))],
      longBest: state.context / 2,
      frozen: formulas.freezingScale(T - relevant),
    };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas,
      sample,
      name: "prompt-scale",
      title: "error against prompt scale",
      aspect: 0.58,
      controls: [
        { name: "context", label: "Context norm Q", min: 0.5, max: 4, step: 0.1, value: 2, digits: 1 },
        { name: "regressor", label: "Regressor norm W", min: 0.2, max: 3, step: 0.1, value: 1, digits: 1 },
        { name: "sparsity", label: "Sparsity \u03b6", min: 0.02, max: 0.5, step: 0.02, value: 0.1 },
        { name: "tokens", label: "Tokens T", min: 10, max: 200, step: 10, value: 50, digits: 0 },
        { name: "samples", label: "Examples per dimension n/d", min: 0.2, max: 5, step: 0.2, value: 1, digits: 1 },
      ],
      draw(state, picture) {
        const s = sample(state);
        const narrow = picture.width < 480;
        picture.legend([
          ["irrelevant", "line", narrow ? "this T" : "this number of tokens"],
          ["theory", "line", narrow ? "long context" : "long-context formula"],
          ["relevant", "line", narrow ? "freezing" : "freezing scale"],
        ]);
        const least = Math.min(...s.errors, ...s.long);
        const floor = Math.max(1e-8, Math.pow(10, Math.floor(Math.log10(Math.max(least, 1e-8)) - 1e-9)));
        const seen = (values) => s.scales.map((tau, i) => [tau, Math.max(values[i], floor)]);
        picture.plane({ x: [0, 4], y: [floor, 1], logY: true });
        picture.axes({ x: "prompt scale \u03c4, in units of 1/\u03c3", y: "error" });
        if (s.frozen < 4) picture.line([[s.frozen, floor], [s.frozen, 1]], { class: "curve relevant" });
        picture.line(seen(s.long), { class: "curve theory", "stroke-dasharray": "7 4" });
        picture.line(seen(s.errors), { class: "curve irrelevant" });
        const best = s.scales.indexOf(s.best);
        picture.points([[s.best, Math.max(s.errors[best], floor)]], { class: "irrelevant", r: 5 });
      },
      describe(state) {
        const s = sample(state);
        const small = (error) => (error < 1e-3 ? error.toExponential(1) : format(error, 4));
        const at = s.scales.indexOf(s.best);
        const valid = s.longBest < s.frozen;
        const edge = s.best > 3.95 ? "still falling at" : "least at";
        return (
          `With ${s.relevant} of ${state.tokens} tokens relevant the error is ${edge} scale ` +
          `${format(s.best, 1)}, where it is ${small(s.errors[at])}; mean pooling has ${small(s.errors[0])}. ` +
          `The long-context formula says ${format(s.longBest, 2)}, which is ${valid ? "below" : "beyond"} ` +
          `the freezing scale ${format(s.frozen, 2)}: ${valid ? "it may be trusted" : "do not trust it"}.`
        );
      },
    }),
  );
})();
