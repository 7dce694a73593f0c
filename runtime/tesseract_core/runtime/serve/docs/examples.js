// Examples of payloads that the server accepts as they stand, made from the schemas of its OpenAPI document.
"use strict";

const MAX_ELEMENTS = 64; // of an array that is written out
const TEXTS = {
  "date-time": "2026-01-01T00:00:00Z",
  date: "2026-01-01",
  time: "00:00:00Z",
  duration: "PT1S",
  uuid: "00000000-0000-4000-8000-000000000000",
  uri: "https://example.org/",
  email: "name@example.org",
  ipv4: "127.0.0.1",
  ipv6: "::1",
  binary: "",
};

class Examples {
  // `leaf` makes the example of an array from its schema. With `full`, what is empty by default has an element.
  constructor(spec, { leaf = zeros, full = false } = {}) {
    this.spec = spec;
    this.leaf = leaf;
    this.full = full;
  }

  // The payload of an endpoint such as "/jacobian".
  payload(path) {
    const schema = this.spec.paths[path].post.requestBody.content["application/json"].schema;
    const properties = this.resolve(schema).properties || {};
    if (path === "/abstract_eval") return { inputs: new Examples(this.spec, { leaf: abstract }).inputs("/apply") };
    if (path === "/test") return { endpoint: "apply", payload: this.payload("/apply"), expected_outputs: {} };
    const example = { inputs: this.inputs(path) };
    for (const name of Object.keys(properties)) {
      if (/_inputs$/.test(name)) {
        let given = namedPaths(properties[name]).find((candidate) => at(example.inputs, candidate) !== null);
        if (!given) {
          given = firstPath(properties[name]);
          example.inputs = new Examples(this.spec, { full: true }).inputs(path);
        }
        example[name] = [given];
      }
      if (/_outputs$/.test(name)) example[name] = [namedPaths(properties[name])[0] || firstPath(properties[name])];
    }
    for (const [vector, paths, root] of [
      ["tangent_vector", "jvp_inputs", "ApplyInputSchema"],
      ["cotangent_vector", "vjp_outputs", "ApplyOutputSchema"],
    ]) {
      if (vector in properties) {
        const known = this.spec.components.schemas[root].differentiable_arrays || {};
        example[vector] = {};
        for (const given of example[paths]) {
          const found = Object.keys(known).find((pattern) => generic(pattern) === generic(given));
          const shape = found ? known[found].shape : [];
          example[vector][given] = nested((shape || []).map((size) => (size === null || size < 0 ? 2 : size)), 0);
        }
      }
    }
    return example;
  }

  inputs(path) {
    const schema = this.spec.paths[path].post.requestBody.content["application/json"].schema;
    return this.of(this.resolve(schema).properties.inputs);
  }

  resolve(schema) {
    while (schema && schema.$ref) schema = this.spec.components.schemas[schema.$ref.split("/").pop()];
    return schema || {};
  }

  of(given) {
    const schema = this.resolve(given);
    if (schema.array_flags && this.leaf === abstract) return abstract(schema);
    for (const { default: value } of [given, schema]) {
      if (value !== undefined && !(this.full && isEmpty(value))) return value;
    }
    if (schema.array_flags) return this.leaf(schema);
    if (schema.examples && schema.examples.length) return schema.examples[0];
    if ("const" in schema) return schema.const;
    if (schema.enum) return schema.enum[0];
    const choices = schema.anyOf || schema.oneOf;
    if (choices) {
      const isNull = (choice) => choice.type === "null";
      return this.of(choices.find((choice) => !isNull(choice)) || choices[0]);
    }
    if (schema.allOf) return this.of(Object.assign({}, ...schema.allOf.map((part) => this.resolve(part))));
    switch (schema.type) {
      case "object":
        return this.object(schema);
      case "array":
        return this.array(schema);
      case "string":
        return text(schema);
      case "integer":
      case "number":
        return number(schema);
      case "boolean":
        return false;
      default:
        return null;
    }
  }

  object(schema) {
    const example = {};
    for (const [name, field] of Object.entries(schema.properties || {})) example[name] = this.of(field);
    if (typeof schema.additionalProperties === "object" && !schema.properties) {
      example.key = this.of(schema.additionalProperties);
    }
    return example;
  }

  array(schema) {
    if (schema.prefixItems) return schema.prefixItems.map((item) => this.of(item));
    if (schema.maxItems === 0) return [];
    return Array.from({ length: Math.max(1, schema.minItems || 0) }, () => this.of(schema.items || {}));
  }
}

function isEmpty(value) {
  return value === null || (typeof value === "object" && !Object.keys(value).length);
}

// Paths of differentiable arrays that need no index and no key.
function namedPaths(schema) {
  return (schema.items.anyOf || [schema.items]).flatMap((choice) => choice.const || choice.enum || []);
}

// The first path, where its schema is a regular expression, such as ^parts\.\[\d+\]\.x$
function firstPath(schema) {
  const choice = (schema.items.anyOf || [schema.items])[0];
  if (!choice.pattern) return namedPaths(schema)[0];
  return choice.pattern
    .replace(/^\^|\$$/g, "")
    .replaceAll("\\[\\d+\\]", "[0]")
    .replace(/\\\{\(\?:.*?\)\+\\\}/g, "{key}")
    .replace(/\\(.)/g, "$1");
}

// What a tree holds at a path of names, null if nothing.
function at(tree, path) {
  return path.split(".").reduce((node, name) => node?.[name] ?? null, tree);
}

// Sizes of the axes of an array, 2 where any will do.
function sizes(schema) {
  return (schema.properties.shape.prefixItems || []).map((axis) => axis.const ?? (axis.enum ? Math.max(...axis.enum) : 2));
}

function dtype(schema) {
  return schema.properties.dtype.examples?.[0] ?? schema.properties.dtype.const ?? "float64";
}

// Zeros of the right shape. Of a large array one element, which stands for all.
function zeros(schema) {
  const shape = sizes(schema);
  const zero = dtype(schema) === "bool" ? false : 0;
  if (shape.reduce((count, size) => count * size, 1) <= MAX_ELEMENTS) return nested(shape, zero);
  const ones = shape.map(() => 1);
  const data = { buffer: nested(ones, zero), encoding: "json" };
  return { object_type: "array", shape: ones, dtype: dtype(schema), data };
}

function abstract(schema) {
  return { shape: sizes(schema), dtype: dtype(schema) };
}

function nested(shape, value) {
  if (!shape.length) return value;
  return Array.from({ length: shape[0] }, () => nested(shape.slice(1), value));
}

// The same text for a path and for the pattern that it fits.
function generic(path) {
  return path.replace(/\[[^\]]*\]/g, "[]").replace(/\{[^}]*\}/g, "{}");
}

function text(schema) {
  return (TEXTS[schema.format] ?? "text").padEnd(schema.minLength || 0, "x").slice(0, schema.maxLength);
}

function number(schema) {
  const step = schema.multipleOf || 1;
  const least = schema.exclusiveMinimum !== undefined ? schema.exclusiveMinimum + step : (schema.minimum ?? -Infinity);
  const most = schema.exclusiveMaximum !== undefined ? schema.exclusiveMaximum - step : (schema.maximum ?? Infinity);
  if (least <= 0 && 0 <= most) return 0;
  if (least > 0) {
    const rounded = Math.ceil(least / step) * step;
    if (rounded <= most) return rounded;
    const below = schema.exclusiveMaximum ?? schema.maximum;
    return ((schema.exclusiveMinimum ?? schema.minimum) + below) / 2; // a narrow range, such as 0 to 1
  }
  return Math.floor(most / step) * step;
}
