// Shows /openapi.json with try-it-out. Where the server requires a token, asks for it once per browser tab.
"use strict";

const STORED = "tesseract-token";

function authorization() {
  const token = sessionStorage.getItem(STORED);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function openapi() {
  const response = await fetch("openapi.json", { headers: authorization() });
  if (response.status !== 401) return response.json();
  const token = window.prompt("This Tesseract requires a token:");
  if (!token) throw new Error("no token");
  sessionStorage.setItem(STORED, token);
  return openapi();
}

// What the page shows beyond the document: a payload to start from, and what the author says about an endpoint.
function prepare(spec) {
  const examples = new Examples(spec);
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const operation of Object.values(methods)) {
      operation.summary = (operation.description || operation.summary).split("\n")[0];
      if (!operation.requestBody) continue;
      try {
        operation.requestBody.content["application/json"].example = examples.payload(path);
      } catch (error) {
        console.warn(`no example for ${path}`, error);
      }
    }
  }
  return spec;
}

openapi().then((spec) => {
  document.title = `${spec.info.title} – Tesseract API`;
  SwaggerUIBundle({
    spec: prepare(spec),
    dom_id: "#swagger-ui",
    deepLinking: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0, // schemas are there for who wants them
    validatorUrl: null, // the default sends the document to a public service
    requestInterceptor: (request) => {
      Object.assign(request.headers, authorization());
      return request;
    },
  });
});
