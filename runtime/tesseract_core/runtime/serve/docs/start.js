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

openapi().then((spec) => {
  document.title = `${spec.info.title} – Tesseract API`;
  SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    tryItOutEnabled: true,
    validatorUrl: null, // the default sends the document to a public service
    requestInterceptor: (request) => {
      Object.assign(request.headers, authorization());
      return request;
    },
  });
});
