// Environments that hold networks start the backend through here: they import this room, and not the backend's.
export { type BackendName, useBackend } from '../backend/index.js';
