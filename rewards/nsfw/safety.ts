import type { Reward } from '../../core/reward.js';
import { safetyClasses, VisionNet } from './vision-net.js';

/**
 * How likely a picture is to be safe to show, 0..1: the probability that it is a drawing or neutral, by the network of the
 * npm package nsfwjs. The details are the probabilities of all its classes. It serves as a guard (`watch.guard`), or as a
 * factor of another reward.
 * @throws GymError E_FILE where nsfwjs is not installed
 */
export async function safetyReward(): Promise<Reward> {
  const net = await VisionNet.load();
  return {
    name: 'safety',
    score: async ({ images }) => {
      const { probabilities } = await net.look(images);
      return {
        scores: probabilities.map((p) => p[0]! + p[2]!),
        details: Object.fromEntries(safetyClasses.map((name, k) => [name, probabilities.map((p) => p[k]!)])),
      };
    },
    dispose: () => net.dispose(),
  };
}
