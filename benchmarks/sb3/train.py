"""Trains PPO on CartPole-v1 with the hyperparameters of rl-baselines3-zoo and prints how many seconds that took."""

import json
import sys
import time

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

steps, seed = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
model = PPO(
    "MlpPolicy",
    make_vec_env("CartPole-v1", n_envs=8, seed=seed),
    n_steps=32,
    batch_size=256,
    n_epochs=20,
    gamma=0.98,
    gae_lambda=0.8,
    ent_coef=0.0,
    learning_rate=lambda remaining: remaining * 1e-3,
    clip_range=lambda remaining: remaining * 0.2,
    seed=seed,
    device="cpu",
)
started = time.perf_counter()
model.learn(steps)
print(json.dumps({"seconds": time.perf_counter() - started}))
