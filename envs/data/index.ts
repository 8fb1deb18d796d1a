export { type DomainOptions, domainNames, loadDomain } from './domains.js';
export { type DrawnDomain, drawDigits, drawnDomains } from './drawn-digits.js';
export { checkEveryClass, checkLabelledImages, type LabelledImages, pick, type Split } from './labelled-images.js';
