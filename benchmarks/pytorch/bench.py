"""The work of fine-tuning a diffusion model with DDPO-IS (arXiv 2305.13301), in PyTorch and diffusers.

`npm run --silent bench -- compare --python PYTHON` starts it and asks for pieces of work, one line of JSON each:
    {"work": "sampling" | "training" | "epoch" | "ddpo-epoch", "batch": 64, "threads": 2}
It answers each with the seconds that the work took, and those of its threads together:
    {"seconds": 1.2, "cpu": 2.3}

What is computed is what denoise-gym computes: whole chains of DDIM with eta = 1 and no guidance, each step's
log-probability as a mean over the latent's dimensions, and PPO's clipped surrogate over all steps with sigma > 0, in four
updates of AdamW a rollout. Convolutions run on `channels_last`, optimiser and attention on PyTorch's fused kernels; the
networks run eagerly, as diffusers' and ddpo-pytorch's do.
"""

import argparse
import json
import sys
import time

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

UPDATES = 4
CLIP_RANGE = 1e-3
# What ddpo-pytorch trains at once on one device, up to its default configurations.
DDPO_BATCH = 4


class Bench:
    def __init__(self, model, steps):
        self.unet = UNet2DConditionModel.from_pretrained(model, subfolder='unet').to(memory_format=torch.channels_last)
        self.text_encoder = CLIPTextModel.from_pretrained(model, subfolder='text_encoder')
        self.tokenizer = CLIPTokenizer.from_pretrained(model, subfolder='tokenizer')
        scheduler = DDIMScheduler.from_pretrained(model, subfolder='scheduler', timestep_spacing='trailing')
        scheduler.set_timesteps(steps)
        if scheduler.config.prediction_type != 'v_prediction' or scheduler.config.clip_sample:
            sys.exit('bench.py: it computes models with v_prediction and without clip_sample alone')
        self.timesteps = scheduler.timesteps
        previous = self.timesteps - scheduler.config.num_train_timesteps // steps
        self.alpha = scheduler.alphas_cumprod[self.timesteps]
        self.alpha_previous = torch.where(
            previous >= 0, scheduler.alphas_cumprod[previous.clamp(min=0)], scheduler.final_alpha_cumprod
        )
        # arXiv 2010.02502 eq. 16, with eta = 1
        ratio = (1 - self.alpha_previous) / (1 - self.alpha)
        self.sigma = (ratio * (1 - self.alpha / self.alpha_previous)).sqrt()
        self.trained_steps = int((self.sigma > 0).sum())
        if not bool((self.sigma[: self.trained_steps] > 0).all()):
            sys.exit('bench.py: only the last steps may have a sigma of 0')
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=1e-4, weight_decay=1e-4, fused=True)

    def step_mean(self, x, step, text):
        """The mean of x_{t-1} given x_t, at the steps `step`, one a row (arXiv 2010.02502 eq. 12)."""
        v = self.unet(x, self.timesteps[step], text, return_dict=False)[0]
        a, p, sigma = (values[step].view(-1, 1, 1, 1) for values in (self.alpha, self.alpha_previous, self.sigma))
        x0 = a.sqrt() * x - (1 - a).sqrt() * v
        noise = a.sqrt() * v + (1 - a).sqrt() * x
        return p.sqrt() * x0 + (1 - p - sigma**2).clamp(min=0).sqrt() * noise

    def log_prob(self, x_next, mean, step):
        sigma = self.sigma[step].view(-1, 1, 1, 1)
        log_density = -((x_next - mean) ** 2) / (2 * sigma**2) - sigma.log() - 0.9189385332046727
        return log_density.mean(dim=(1, 2, 3))

    @torch.no_grad()
    def sample(self, count):
        """A rollout: for each chain and step x_t, x_{t-1} and its log-probability."""
        prompts = ['a red circle and a blue square'] * count
        length = self.text_encoder.config.max_position_embeddings
        ids = self.tokenizer(prompts, padding='max_length', max_length=length, return_tensors='pt').input_ids
        text = self.text_encoder(ids).last_hidden_state
        config = self.unet.config
        x = torch.randn(count, config.in_channels, config.sample_size, config.sample_size)
        x = x.contiguous(memory_format=torch.channels_last)
        chain, log_probs = [x], []
        for i in range(len(self.timesteps)):
            step = torch.full((count,), i)
            mean = self.step_mean(x, step, text)
            x = mean + self.sigma[i] * torch.randn_like(mean)
            log_probs.append(self.log_prob(x, mean, step))
            chain.append(x)
        chain[-1].clamp(-1, 1).add(1).div(2).permute(0, 2, 3, 1).contiguous().numpy()  # the images, for a reward
        advantages = torch.linspace(-1, 1, count) if count > 1 else torch.ones(1)
        return chain, log_probs, text, advantages

    def loss(self, x, x_next, step, text, old_log_prob, advantages):
        ratio = (self.log_prob(x_next, self.step_mean(x, step, text), step) - old_log_prob).exp()
        unclipped = -advantages * ratio
        clipped = -advantages * ratio.clamp(1 - CLIP_RANGE, 1 + CLIP_RANGE)
        return torch.maximum(unclipped, clipped).mean()

    def update(self):
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def learn(self, rollout, micro_batch):
        """denoise-gym's way: transitions of all steps, mixed, in full minibatches."""
        chain, log_probs, text, advantages = rollout
        count, steps = len(text), self.trained_steps
        x, x_next, old = (torch.cat(values[:steps]) for values in (chain, chain[1:], log_probs))
        step = torch.arange(steps).repeat_interleave(count)
        for minibatch in torch.randperm(steps * count).tensor_split(UPDATES):
            for rows in minibatch.split(micro_batch):
                sample = rows % count
                inputs = (x[rows].contiguous(memory_format=torch.channels_last), x_next[rows], step[rows], text[sample])
                loss = self.loss(*inputs, old[rows], advantages[sample])
                (loss * (len(rows) / len(minibatch))).backward()
            self.update()

    def learn_by_timestep(self, rollout):
        """ddpo-pytorch's way: batch by batch of samples, timestep by timestep, gradients summed over all of them."""
        chain, log_probs, text, advantages = rollout
        batches = torch.randperm(len(text)).split(DDPO_BATCH)
        # Each sample has its timesteps in an order of its own.
        order = torch.stack([torch.randperm(self.trained_steps) for _ in range(len(text))])
        x, x_next, old = (torch.stack(values, dim=1) for values in (chain[:-1], chain[1:], log_probs))
        accumulated = max(1, len(batches) // UPDATES)
        for number, samples in enumerate(batches):
            for j in range(self.trained_steps):
                step = order[samples, j]
                inputs = (x[samples, step], x_next[samples, step], step, text[samples])
                loss = self.loss(*inputs, old[samples, step], advantages[samples])
                (loss / (accumulated * self.trained_steps)).backward()
            if (number + 1) % accumulated == 0:
                self.update()

    def run(self, work, batch):
        if work == 'training':
            rollout = self.sample(batch)
        wall, cpu = time.perf_counter(), time.process_time()
        if work == 'sampling':
            self.sample(batch)
        elif work == 'training':
            self.learn(rollout, batch)
        elif work == 'epoch':
            self.learn(self.sample(batch), batch)
        elif work == 'ddpo-epoch':
            self.learn_by_timestep(self.sample(batch))
        else:
            raise ValueError(f'unknown work {work}')
        return {'seconds': time.perf_counter() - wall, 'cpu': time.process_time() - cpu}


def operations(bench, batch, micro_batch):
    """Where one thread's time goes, by PyTorch's operations; beside it: `denoise-gym train --profile --workers 0`."""
    torch.set_num_threads(1)
    rollout = bench.sample(batch)
    bench.learn(rollout, micro_batch)  # warm-up
    for name, work in {'sampling': lambda: bench.sample(batch), 'learning': lambda: bench.learn(rollout, micro_batch)}.items():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            work()
        events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        print(f'{name:<45} {total / 1e6:6.2f} s')
        for event in events[:24]:
            print(f'  {event.key[:43]:<43} {event.self_cpu_time_total / 1e6:6.2f} s  {event.count} calls')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--model', required=True)
    parser.add_argument('--steps', type=int, required=True)
    parser.add_argument('--operations', type=int, metavar='BATCH', help='print where time goes, in passes of 36 rows, and end')
    args = parser.parse_args()
    torch.manual_seed(0)
    bench = Bench(args.model, args.steps)
    if args.operations:
        return operations(bench, args.operations, 36)
    print(json.dumps({'torch': torch.__version__, 'trainedSteps': bench.trained_steps}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request['threads'])
        print(json.dumps(bench.run(request['work'], request['batch'])), flush=True)


main()
