"use strict";
// The viewer: one background image and one overlay on linked planes, drawn by NiiVue.
(() => {
  const cases = JSON.parse(document.getElementById("viewer-data").textContent).cases;
  const at = (name) => document.getElementById(`view-${name}`);
  const codes = {
    tissues: [["ET", [0, 114, 178], 3], ["core without enhancement", [230, 159, 0], 1], ["oedema", [0, 158, 115], 2]],
    difference: [["missed", [213, 94, 0], 1], ["too much", [204, 121, 167], 2], ["tumour, of another tissue", [240, 228, 66], 3]],
  };
  const niivue = new globalThis.Niivue({
    isRadiologicalConvention: true, isOrientationTextVisible: true, showAllOrientationMarkers: true,
    isRuler: false, show3Dcrosshair: true, backColor: [0, 0, 0, 1],
    crosshairColor: [0.34, 0.71, 0.91, 0.8], crosshairWidth: 1, crosshairWidthUnit: "mm", fontColor: [1, 1, 1, 1], multiplanarShowRender: 1, isSliceMM: true,
    multiplanarLayout: 0, dragAndDropEnabled: false, isResizeCanvas: true, logLevel: "error", loadingText: "",
    isNearestInterpolation: false, showLegend: false, isColorbar: false, sagittalNoseLeft: true,
  });
  // The scale bar: of 5 cm, as long as the slices on show make it.
  const drawScene = niivue.drawScene.bind(niivue);
  niivue.drawScene = (...given) => {
    const result = drawScene(...given);
    const slice = niivue.screenSlices.find((one) => one.axCorSag < 4 && one.fovMM.length);
    at("bar").hidden = !slice;
    if (slice) at("bar").style.width = `${50 * slice.leftTopWidthHeight[2] / Math.abs(slice.fovMM[0]) / (window.devicePixelRatio || 1)}px`;
    return result;
  };
  let urls = [];
  const place = (layer) => {
    if ("path" in layer) return new URL(layer.path, document.baseURI).href;
    const bytes = Uint8Array.from(atob(layer.data), (character) => character.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes]));
    urls.push(url);
    return url;
  };
  const fill = (select, options, wanted) => {
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    const known = options.map(([value]) => String(value));
    select.value = known.includes(wanted) ? wanted : known[0] ?? "";
    select.parentElement.hidden = options.length < 2 && select !== at("case");
  };
  const current = () => cases[Number(at("case").value)];
  const overlays = () => {
    const model = at("model").value;
    return current().layers.filter((layer) => layer.kind !== "image" && (!layer.model || layer.model === model));
  };
  const offerLayers = () => {
    const layers = current().layers;
    fill(at("image"), layers.filter((layer) => layer.kind === "image").map((layer) => [layer.title, layer.title]), at("image").value);
    const models = [...new Set(layers.map((layer) => layer.model).filter(Boolean))];
    fill(at("model"), models.map((model) => [model, model]), at("model").value);
    offerOverlays();
  };
  const offerOverlays = () => {
    const wanted = at("overlay").value || "prediction";
    fill(at("overlay"), [...overlays().map((layer) => [layer.title, layer.title]), ["", "nothing"]], wanted);
  };
  const colours = (kind) => {
    const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const [text, [red, green, blue], code] of [...codes[kind]].sort((a, b) => a[2] - b[2])) {
      map.R.push(red); map.G.push(green); map.B.push(blue); map.A.push(255); map.I.push(code); map.labels.push(text);
    }
    return map;
  };
  const legend = (kind) => {
    const items = (codes[kind] ?? []).map(([text, colour]) => {
      const item = document.createElement("li");
      const patch = document.createElement("span");
      patch.style.background = `rgb(${colour})`;
      item.append(patch, text);
      return item;
    });
    if (kind === "probability") {
      const item = document.createElement("li");
      item.append("probability from 5 % (dark) to 100 % (yellow)");
      items.push(item);
    }
    at("legend").replaceChildren(...items);
  };
  // One drawing at a time, and of those asked for meanwhile the last alone.
  let busy = false;
  let waiting = null;
  const show = async (anew) => {
    if (busy) { waiting = waiting || anew ? true : false; return; }
    busy = true;
    try { await draw(anew); } finally { busy = false; }
    if (waiting !== null) { const next = waiting; waiting = null; await show(next); }
  };
  const draw = async (anew) => {
    const chosen = current();
    const image = chosen.layers.find((layer) => layer.kind === "image" && layer.title === at("image").value);
    const overlay = overlays().find((layer) => layer.title === at("overlay").value);
    const spot = niivue.volumes.length && !anew ? niivue.frac2mm(niivue.scene.crosshairPos) : chosen.spot;
    at("canvas").dataset.state = "loading";
    const volumes = [{ url: place(image), name: "image.nii.gz", colormap: "gray", cal_min: 0, cal_max: 255 }];
    if (overlay) {
      const look = overlay.kind === "probability" ? { colormap: "viridis", cal_min: 13, cal_max: 255 } : {};
      volumes.push({ url: place(overlay), name: "overlay.nii.gz", opacity: Number(at("opacity").value), ...look });
    }
    try {
      await niivue.loadVolumes(volumes);
    } catch (error) {
      at("note").textContent = "The volumes cannot be read from here; serve the folder of this page with: pedseg view DIR";
      at("canvas").dataset.state = "failed";
      return;
    } finally {
      urls.forEach((url) => URL.revokeObjectURL(url));
      urls = [];
    }
    if (overlay && codes[overlay.kind]) niivue.volumes[1].setColormapLabel(colours(overlay.kind));
    niivue.setAtlasOutline(at("outline").checked ? 1 : 0);
    niivue.scene.crosshairPos = niivue.mm2frac(spot);
    niivue.updateGLVolume();
    niivue.createOnLocationChange();
    const score = chosen.scores[at("model").value];
    at("note").textContent = [chosen.note, score].filter(Boolean).join(" · ");
    legend(overlay?.kind);
    at("canvas").dataset.state = "shown";
  };
  niivue.onLocationChange = (location) => {
    const [x, y, z] = Array.from(location.mm, (value) => value.toFixed(1));
    at("place").textContent = `Position: x ${x}, y ${y}, z ${z} mm in world coordinates`;
  };
  at("case").addEventListener("change", () => { offerLayers(); show(true); });
  at("model").addEventListener("change", () => { offerOverlays(); show(false); });
  for (const name of ["image", "overlay", "outline"]) at(name).addEventListener("change", () => show(false));
  at("planes").addEventListener("change", () => niivue.setSliceType(Number(at("planes").value)));
  at("opacity").addEventListener("input", () => { if (niivue.volumes.length > 1) niivue.setOpacity(1, Number(at("opacity").value)); });
  at("canvas").addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    niivue.moveCrosshairInVox(...steps[event.key]);
  }, true);
  document.querySelector("#viewer form").addEventListener("submit", (event) => event.preventDefault());
  fill(at("case"), cases.map((one, index) => [index, one.name]), "0");
  offerLayers();
  const linked = cases.some((one) => one.layers.some((layer) => "path" in layer));
  if (linked && location.protocol === "file:") {
    at("canvas").dataset.state = "failed";
    return;
  }
  if (at("linked")) at("linked").hidden = true;
  niivue.attachToCanvas(at("canvas")).then(() => {
    niivue.setSliceType(3);
    return show(true);
  });
})();
