// The part of the figures that answer back which needs a page: sliders, dragging, the address.
(function (kit) {
  "use strict";
  const { defaults, drawn, format } = kit;

  function element(tag, attributes, children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    for (const child of children || []) made.append(child);
    return made;
  }

  // A value from the address is text that anyone may have written: take it only if it is legal.
  function legal(control, text) {
    if (control.kind === "checkbox") return text === "1" ? true : text === "0" ? false : undefined;
    if (control.kind === "select") {
      return control.options.map((o) => o.value).find((v) => String(v) === text);
    }
    const value = text === "" ? NaN : Number(text);
    return value >= control.min && value <= control.max ? value : undefined;
  }

  function readAddress(prefix, controls, state) {
    const query = new URLSearchParams(location.search);
    for (const control of controls) {
      const text = query.get(`${prefix}.${control.name}`);
      const value = text === null ? undefined : legal(control, text);
      if (value !== undefined) state[control.name] = value;
    }
  }

  function writeAddress(prefix, controls, state) {
    const query = new URLSearchParams(location.search);
    for (const control of controls) {
      const key = `${prefix}.${control.name}`;
      const value = state[control.name];
      if (value === control.value) query.delete(key);
      else query.set(key, typeof value === "boolean" ? Number(value) : value);
    }
    const search = query.toString();
    try {
      history.replaceState(history.state, "", (search ? `?${search}` : location.pathname) + location.hash);
    } catch (error) {
      // Some browsers forbid this on file:// pages; the figure works without it.
    }
  }

  function widget(control, id, state, changed) {
    const kind = control.kind || "range";
    const shown = element("output", { for: id });
    let input;
    if (kind === "select") {
      const options = control.options.map((o) => {
        const option = element("option", { value: o.value });
        option.textContent = o.label;
        return option;
      });
      input = element("select", { id }, options);
    } else if (kind === "checkbox") {
      input = element("input", { id, type: "checkbox" });
    } else {
      input = element("input", { id, type: "range", min: control.min, max: control.max, step: control.step });
    }
    const refresh = () => {
      const value = state[control.name];
      if (kind === "checkbox") input.checked = value;
      else input.value = String(value);
      if (kind === "range") {
        shown.textContent = format(control.shows ? control.shows[value] : value, control.digits);
        input.setAttribute("aria-valuetext", shown.textContent);
      }
    };
    input.addEventListener("input", () => {
      if (kind === "checkbox") state[control.name] = input.checked;
      else if (kind === "select") state[control.name] = legal(control, input.value);
      else state[control.name] = Number(input.value);
      refresh();
      changed();
    });
    const label = element("label", { for: id });
    label.textContent = control.label;
    const row = element("div", { class: `explorable-control explorable-${kind}` }, [label, shown, input]);
    return { row, refresh };
  }

  // The legal value of a slider that is nearest to a number.
  function nearest(control, value) {
    const steps = Math.round((Math.min(Math.max(value, control.min), control.max) - control.min) / control.step);
    return Number((control.min + steps * control.step).toFixed(10));
  }

  // Let the pointer move the point that stands for two controls; a finger must start on it, so that
  // elsewhere it still scrolls the page.
  function draggable(svg, figure, state, current, moved) {
    const controls = ["x", "y"].map((axis) => figure.controls.find((c) => c.name === figure.dragged[axis]));
    const follow = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const values = [current().x.invert(at.x), current().y.invert(at.y)];
      controls.forEach((control, i) => (state[control.name] = nearest(control, values[i])));
      moved();
    };
    svg.addEventListener("pointerdown", (event) => {
      const onHandle = event.target.classList.contains("handle");
      if (event.button !== 0 || (event.pointerType === "touch" && !onHandle)) return;
      event.preventDefault();
      svg.setPointerCapture(event.pointerId);
      follow(event);
    });
    // Browsers do not heed touch-action inside a picture: without this they scroll and cancel the drag.
    svg.addEventListener("touchstart", (event) => {
      if (event.target.classList.contains("handle")) event.preventDefault();
    }, { passive: false });
    svg.addEventListener("pointermove", (event) => {
      if (svg.hasPointerCapture(event.pointerId)) follow(event);
    });
  }

  function mount(stage, figure, prefix) {
    const state = defaults(figure);
    readAddress(prefix, figure.controls, state);
    const alt = stage.dataset.alt;
    const [svg, marks, grip] = ["svg", "g", "circle"].map((tag) =>
      document.createElementNS("http://www.w3.org/2000/svg", tag),
    );
    svg.append(marks);
    const text = element("p", { id: `${prefix}-says`, class: "explorable-says", "aria-live": "polite" });
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", alt);
    svg.setAttribute("aria-describedby", text.id);

    let width = 0; // until the stage is laid out, which is when it comes near the window
    let picture;
    const available = () => Math.max(260, Math.min(720, Math.floor(stage.clientWidth)));
    const redraw = () => {
      width ||= available();
      picture = drawn(figure, state, width);
      svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
      marks.innerHTML = picture.markup();
      if (picture.grip) {
        grip.setAttribute("cx", picture.grip[0]);
        grip.setAttribute("cy", picture.grip[1]);
      }
      text.textContent = figure.describe(state);
    };
    let address;
    const changed = () => {
      redraw();
      clearTimeout(address);
      address = setTimeout(() => writeAddress(prefix, figure.controls, state), 250);
    };
    const widgets = figure.controls.map((c) => widget(c, `${prefix}-${c.name}`, state, changed));
    const refresh = () => widgets.forEach((w) => w.refresh());
    const reset = element("button", { type: "button", class: "explorable-button" });
    reset.textContent = "Reset";
    reset.addEventListener("click", () => {
      Object.assign(state, defaults(figure));
      refresh();
      changed();
    });
    const save = element("button", { type: "button", class: "explorable-button" });
    save.textContent = "Save numbers";
    save.addEventListener("click", () => {
      const file = new Blob([picture.csv()], { type: "text/csv" });
      const link = element("a", { href: URL.createObjectURL(file), download: `${prefix}.csv` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    const controls = element("div", { class: "explorable-controls", role: "group" }, widgets.map((w) => w.row));
    controls.setAttribute("aria-label", `Controls: ${figure.title}`);
    controls.append(element("div", { class: "explorable-buttons" }, [reset, save]));
    if (figure.dragged) {
      const moved = () => {
        refresh();
        changed();
      };
      // Room for a finger, and the same element all the while that it is dragged.
      grip.setAttribute("class", "handle");
      grip.setAttribute("r", 22);
      svg.append(grip);
      draggable(svg, figure, state, () => picture, moved);
    }

    text.textContent = figure.describe(state);
    stage.replaceChildren(svg, text, controls);
    refresh();
    new ResizeObserver(() => {
      if (available() === width) return;
      width = available();
      redraw();
    }).observe(stage);
    window.addEventListener("beforeprint", () => width || redraw());
  }

  kit.mount = (figure) => {
    document.querySelectorAll(`[data-explorable="${figure.name}"]`).forEach((stage, index) => {
      const start = () => mount(stage, figure, index ? `${figure.name}${index + 1}` : figure.name);
      // While the page loads the static picture stands (settle.js).
      if ("loading" in document.documentElement.dataset) window.addEventListener("settled", start, { once: true });
      else start();
    });
  };
})(window.explorable);
