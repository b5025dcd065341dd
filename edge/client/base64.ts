// Base64 (RFC 4648 standard, padded) between bytes and text, with what every runtime of Node 20's age has.

/** Characters that String.fromCharCode takes as arguments without risk to the stack. */
const chunkMax = 8_192;

export function toBase64(bytes: Uint8Array): string {
  let latin1 = "";
  for (let at = 0; at < bytes.length; at += chunkMax) {
    latin1 += String.fromCharCode(...bytes.subarray(at, at + chunkMax));
  }
  return btoa(latin1);
}

/** Owned by the caller. */
export function fromBase64(text: string): Uint8Array {
  const latin1 = atob(text);
  const bytes = new Uint8Array(latin1.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = latin1.charCodeAt(i);
  return bytes;
}
