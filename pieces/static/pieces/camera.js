// Scans with the camera: what it reads goes into the search box and is sent, as by a hand scanner. The browser's own
// reader does it, or else a library of ours, which is loaded only then (zxing/NOTICE).
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("camera");
  const find = document.getElementById("find");
  const dialog = document.getElementById("camera-dialog");
  // Without TLS a browser has no camera to give. On a phone, where it would be missed, the dialog says why.
  const isPhone = window.matchMedia("(pointer: coarse)").matches;
  if (!button || !(navigator.mediaDevices || (isPhone && !window.isSecureContext))) {
    return;
  }
  const video = dialog.querySelector("video");
  // Not ITF, which has no check digit: what is read askew of another code may be one.
  const FORMATS = ["qr_code", "code_128", "code_39", "ean_13", "ean_8"];
  const PAUSE = 120; // milliseconds between two looks
  let runs = 0; // how often the dialog was opened: of two runs only the later one goes on

  const say = (text) => {
    dialog.querySelector("[role=alert]").textContent = text;
  };

  const inWords = (error) => {
    const known = {
      Error: error.message, // one of ours
      NotAllowedError: "The camera is not allowed here. Allow it for this site in the settings of the browser.",
      NotFoundError: "This device has no camera.",
      NotReadableError: "The camera is in use by another program.",
    };
    return known[error.name] || `The camera does not work (${error.name}).`;
  };

  const load = (address) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("What reads the codes could not be loaded. Try again.")));
    document.head.append(script);
  });

  // Each of these gives a function that reads the video's picture of now: a code's text, or nothing.
  const nativeReader = async () => {
    try {
      const supported = await BarcodeDetector.getSupportedFormats();
      const detector = new BarcodeDetector({ formats: supported.filter((format) => FORMATS.includes(format)) });
      await detector.detect(video);
      return async () => (await detector.detect(video))[0]?.rawValue;
    } catch {
      return null; // the browser has no such thing, or the device not what it needs
    }
  };

  const libraryReader = async () => {
    if (!window.ZXing) {
      await load(button.dataset.library);
    }
    const formats = FORMATS.map((format) => ZXing.BarcodeFormat[format.toUpperCase()]);
    const hints = new Map([
      [ZXing.DecodeHintType.TRY_HARDER, true],
      [ZXing.DecodeHintType.POSSIBLE_FORMATS, formats],
    ]);
    const readers = [new ZXing.QRCodeReader(), new ZXing.MultiFormatOneDReader(hints)];
    const canvas = document.createElement("canvas");
    const picture = canvas.getContext("2d", { willReadFrequently: true });
    return () => {
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      picture.drawImage(video, 0, 0);
      const source = new ZXing.HTMLCanvasElementLuminanceSource(canvas);
      const bitmap = new ZXing.BinaryBitmap(new ZXing.HybridBinarizer(source));
      for (const reader of readers) {
        try {
          return reader.decode(bitmap, hints).getText();
        } catch {
          // it sees no code of its kind
        }
      }
      return null;
    };
  };

  const scan = async (isOn) => {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give the camera only to pages with https://. Ask whoever runs the server.");
    }
    const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", ...size } });
    try {
      video.srcObject = stream;
      await video.play();
      say("Hold the code into the picture.");
      const read = (await nativeReader()) || (await libraryReader());
      let before = null;
      while (isOn()) {
        const text = await read();
        if (text && text === before) { // twice the same: one look may be wrong
          return text;
        }
        before = text;
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
      return null;
    } finally {
      for (const track of stream.getTracks()) {
        track.stop();
      }
    }
  };

  button.hidden = false;
  dialog.querySelector("button").addEventListener("click", () => dialog.close());

  button.addEventListener("click", async () => {
    runs += 1;
    const run = runs;
    const isOn = () => dialog.open && run === runs;
    say("");
    dialog.showModal();
    try {
      const text = await scan(isOn);
      if (text && isOn()) {
        dialog.close();
        find.value = text;
        find.form.requestSubmit();
      }
    } catch (error) {
      if (isOn()) {
        say(inWords(error));
      }
    }
  });
});
