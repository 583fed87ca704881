"""``ThinkTuningTrainer``: TRL's ``GRPOTrainer`` with guidance after sampling and shaped teacher tokens in the loss.

The order of calls, which is the order of the methods below; TRL calls those marked with *:

    train                                     until max_steps; stops and raises if the teacher failed permanently
      _generate_and_score_completions *       once for each generation
        _generate *                           stages 1 and 2, then back into TRL's lists
          _generate_single_turn *             token ids of n answers to each question, from ``sampler``
          Generation, guide, score            the teacher's tokens behind some of the answers; rewards of all
        _calculate_rewards *                  the reward functions, each with its ``rollout``; TRL makes advantages of them
        _equal_rewards_earn_nothing           then ``on_batch``
      compute_loss *, _compute_loss *         stage 3, once for each micro-batch
        _get_per_token_logps_and_entropies *  log-probs of the answers' tokens, from ``logprobs``
          _shape                              the weight of ``aas`` on the teacher's tokens; TRL's loss does the rest
      log *, _save_checkpoint *               after an optimizer step

The idea: keep TRL's loss and change its inputs. On a teacher token the old log-prob is set to the current one,
so the ratio is 1 and carries the gradient of log pi, and the advantage is multiplied by the weight w of ``aas``. TRL's
clipped loss then has the gradient -A * w * grad log pi there, which is that of -A * pi / (sg(pi) + c(A)).

Without a guide every hook below is a pass-through and the trainer equals TRL's (tests/method/test_trainer_is_trl.py), except
where a step or a group has nothing to learn from: TRL then moves the weights by rounding errors and by momentum, this trainer
does not.
"""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel, TrainingArguments
from transformers.trainer_utils import TrainOutput
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import parse_response
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer.utils import pad

from thinklab import aas, stage2
from thinklab.advantages import advantages, equal_groups
from thinklab.batch_metrics import batch_metrics, over_batches
from thinklab.config.devices import one_gpu
from thinklab.credit import own_advantages
from thinklab.empty_steps import skip_empty_steps as skip_in
from thinklab.errors import ConfigError, RunError, TeacherError, TrainingError
from thinklab.generation import Generation
from thinklab.interop.plugins import check_shape
from thinklab.logprobs import chosen_logprobs, graph_for
from thinklab.sampler import Sampler
from thinklab.teacher_watch import TeacherWatch, many_rejected
from thinklab.through_wrapper import through_wrapper
from thinklab.token_metrics import by_origin, traced
from thinklab.trl_options import refuse_what_breaks, steps_per_generation
from thinklab.types import Batch, Example, Rollout
from thinklab.vllm_sync import keep_base_frozen

Score = Callable[[Sequence[Rollout]], list[Rollout]]
"""Fills in ``rewards`` and ``checks``."""
TRACED = 4
"""Guided rollouts per generation whose tokens are reported one by one."""


class ThinkTuningTrainer(GRPOTrainer):
    """TRL's ``GRPOTrainer`` with a teacher. Takes everything that takes, and:

    Args:
        guide: stage 2; ``thinklab.guide.guide.Guide`` or any callable with that signature, with optional protocols: see
            ``thinklab/stage2.py``. None trains plain GRPO.
        score: fills in the rewards of each rollout before TRL asks for them; reward functions get the rollouts as the
            keyword ``rollout`` (a list of ``Rollout``).
        shaping: the weight on the teacher's tokens.
        scope: which tokens of a guided rollout count as the teacher's: the spliced ``guidance`` with its EOS, or the
            whole ``trajectory`` as in the authors' code.
        credit: what the student's own tokens of a guided rollout are credited with: the reward of the whole ``trajectory``, as
            in the paper, or what the student's ``own`` part alone would have earned, which takes a ``score`` that fills in
            ``own_rewards``.
        imitate: train on the guided texts alone with weight 1 (supervised fine-tuning), whatever their advantage.
        sampler: stage 1; None leaves sampling to TRL (``generate`` or vLLM).
        examples: the questions by the id that each dataset row carries in ``example_id``. A row without one is a separate
            question, with the reference answer from its column ``gold``, ``answer`` or ``solution``.
        on_batch: called with every scored ``Batch``, before it is trained on.
        skip_empty_steps: do not update the weights in a step without any gradient; False is TRL's behavior: the optimizer
            still applies momentum and weight decay.
        raise_on_teacher_failure: ``train`` saves, ends and raises if the teacher failed permanently; False leaves that to the
            caller, who must check ``guide.failed``.
        on_tokens: called once per generation with a few guided rollouts token by token (``TRACED`` of them): text,
            origin, probability and weight of each token as the first loss saw them.

    The advantage is exactly 0 where a whole group earned equal rewards (``thinklab/advantages.py``). KL to a reference
    (``beta > 0``) is left out on teacher tokens. The loss type ``bnpo`` is the mean over the tokens of the optimizer step,
    however it is split into micro-batches; TRL's is a mean of the micro-batches' means. A dataset row is
    ``{"prompt": messages, "example_id": id}``; all other columns go to the reward functions.

    The metrics of ``thinklab.batch_metrics`` (``guided_fraction``, ``guidance/*``, ``rejected/*``, ``own/*``) is in
    ``state.log_history`` beside TRL's own figures. docs/plain-trl.md shows the trainer in a script of its own.

    Raises:
        ConfigError: for options of TRL that are silently wrong with teacher tokens, or a gamma that guides no rollout.
        TrainingError: when the loss is not finite.
        TeacherError: from ``train``, if the teacher failed permanently; a checkpoint was saved.
    """

    if TYPE_CHECKING:  # attributes that TRL declares with a wider type
        args: GRPOConfig
        model: PreTrainedModel
        num_generations: int
        num_generations_eval: int
        pad_to_multiple_of: int | None

    def __init__(
        self,
        *args: Any,
        guide: stage2.Guides | None = None,
        score: Score | None = None,
        shaping: aas.Shaping = aas.Shaping(),
        scope: Literal["guidance", "trajectory"] = "guidance",
        credit: Literal["trajectory", "own"] = "trajectory",
        imitate: bool = False,
        skip_empty_steps: bool = True,
        sampler: Sampler | None = None,
        examples: Mapping[str, Example] | None = None,
        on_batch: Callable[[Batch], None] | None = None,
        raise_on_teacher_failure: bool = True,
        on_tokens: Callable[[list[dict[str, Any]]], None] | None = None,
        **kwargs: Any,
    ):
        if guide is not None:
            check_shape(guide, "the guide", ConfigError, stage2.Guides, stage2.OPTIONAL)
        self.guide, self.score, self.shaping, self.scope, self.imitate = guide, score, shaping, scope, imitate
        self.credit = credit
        self.sampler, self.examples, self.on_batch = sampler, examples or {}, on_batch
        self.on_tokens, self.skip_empty_steps = on_tokens, skip_empty_steps
        self.recall: Callable[[int], list[list[int]] | None] | None = None
        """Ids of a generation that was sampled in an earlier session and not trained on; it is not sampled again."""
        self._to_trace: dict[int, Rollout] = {}
        self._rows: list[dict[str, Any]] = []
        self._rollouts: list[Rollout] = []
        self._loss_inputs: dict[str, Any] | None = None
        self._rewards: torch.Tensor | None = None
        self._figures: list[dict[str, Any]] = []
        self._skipping: Any = None
        if isinstance(given := kwargs.get("args"), TrainingArguments):
            one_gpu(given)  # the loss does not work with nn.DataParallel
        super().__init__(*args, **kwargs)
        refuse_what_breaks(self.args)
        if credit == "own" and (
            score is None or scope == "trajectory" or self.multi_objective_aggregation != "sum_then_normalize"
        ):
            raise ConfigError(
                "credit='own' needs a score function that fills in own_rewards, scope='guidance', and "
                "multi_objective_aggregation='sum_then_normalize'"
            )
        self.raise_on_teacher_failure = raise_on_teacher_failure
        if raise_on_teacher_failure:
            self.add_callback(TeacherWatch(self))
        if isinstance(getattr(self, "vllm_generation", None), VLLMGeneration):
            keep_base_frozen(self.vllm_generation)
        if hasattr(self.model, "peft_config"):  # TRL casts a quantized model's adapter to bf16, where a small step rounds away
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Like TRL's. Raises ``TeacherError`` if the teacher failed permanently, after saving a checkpoint."""
        if not self.raise_on_teacher_failure:
            return super().train(*args, **kwargs)
        if isinstance(self.guide, stage2.HasSchedule):
            self.guide.schedule.check_group(self.num_generations)
        if isinstance(self.guide, stage2.CanFail):
            self.guide.failed = ""  # called again: it may work by now
        done = super().train(*args, **kwargs)
        if isinstance(self.guide, stage2.CanFail) and (why := self.guide.failed):
            raise TeacherError(
                f"{why}. Training stopped at step {self.state.global_step} and was saved under "
                f"{self.args.output_dir}; when the teacher works again, continue with "
                "trainer.train(resume_from_checkpoint=True)"
            )
        if isinstance(self.guide, stage2.CountsOutcomes) and (many := many_rejected(self.guide.counts)):
            warnings.warn(many, RuntimeWarning, stacklevel=2)
        return done

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(*args, **kwargs)
        inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper, if training continues in this process
        if self.skip_empty_steps and self._skipping is not inner:
            skip_in(inner, lambda found: self.accelerator.gather(found[None]).any())
            self._skipping = inner
        return optimizer

    # ---- once for each generation: sample, guide, score ----------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = inputs
        out = super()._generate_and_score_completions(inputs)
        spans = [_teacher_span(r, self.scope) for r in self._rollouts]
        teacher_mask = pad(
            [torch.tensor(s) for s in spans], padding_value=0, padding_side="right", pad_to_multiple_of=self.pad_to_multiple_of
        ).to(out["completion_ids"].device)
        out["teacher_mask"] = teacher_mask * out["completion_mask"]  # TRL shuffles and splits both with the rest
        share = self._equal_rewards_earn_nothing(out)
        out["rollout_row"] = torch.arange(len(self._rollouts), device=teacher_mask.device)
        if self.credit == "own":
            first, size = self.accelerator.process_index * len(self._rollouts), self._group_size
            own = (self._all_rewards, self.reward_func_names, self.reward_weights, size, self.scale_rewards, first)
            out["student_advantages"] = own_advantages(self._rollouts, *own).to(out["advantages"])
        if self.imitate:
            out["advantages"] = torch.tensor([float(r.guided) for r in self._rollouts]).to(out["advantages"])
        first = self.accelerator.process_index * len(self._rollouts)
        given = self._all_rewards[first : first + len(self._rollouts)].tolist()
        for k, (r, row, advantage) in enumerate(zip(self._rollouts, given, out["advantages"].tolist(), strict=True)):
            named = {name: x for name, x in zip(self.reward_func_names, row, strict=True) if x == x}  # NaN: none given
            self._rollouts[k] = replace(r, rewards=r.rewards or named, advantage=advantage)
        self._to_trace = dict([(k, r) for k, r in enumerate(self._rollouts) if r.guided][:TRACED])
        if self.model.training:
            gamma = self.guide.gamma(self.state.global_step) if isinstance(self.guide, stage2.HasGamma) else 0.0
            batch = Batch(self.generation, self.state.global_step, tuple(self._rollouts), gamma, share)
            self._figures.append(batch_metrics(batch))
            if self.on_batch is not None:
                self.on_batch(batch)
        return out

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        out = list(super()._generate(prompts))
        prompt_ids, completion_ids, completions, logprobs, extra = out[0], out[1], out[3], out[4], out[5]
        rollouts = self._this_generation(len(completion_ids), self._group_size).rollouts(prompt_ids, completion_ids)
        if self.guide is not None and self.model.training:
            rollouts = self.guide(rollouts, self.state.global_step, self.generation)
        if self.score is not None:
            rollouts = self.score(rollouts)
        elif isinstance(self.guide, stage2.Teaches) and (taught := self.guide.behaviors):
            rollouts = [replace(r, checks={**r.checks, "behavior": any(b.detect(r.text) for b, _ in taught)}) for r in rollouts]
        for row, rollout in enumerate(rollouts):
            if not rollout.guided:
                continue
            completion_ids[row] = list(rollout.completion_ids)
            if isinstance(completions[row], list):
                completions[row] = [self._message(rollout)]
            else:
                completions[row] = rollout.text
            if logprobs is not None:  # vLLM's log-probs; TRL reads None as "unknown" and corrects nothing there
                kept = len(rollout.kept_student_ids)
                logprobs[row] = list(logprobs[row][:kept]) + [None] * len(rollout.teacher_ids)
        self._rollouts = list(rollouts)
        extra["rollout"] = rollouts
        return tuple(out)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: Any, num_generations: int, *args: Any, **kwargs: Any
    ) -> tuple[list[list[int]], Any]:
        if self.recall is not None and (known := self.recall(self.generation)) is not None:
            return known, None
        if self.sampler is None or self.use_vllm:
            return super()._generate_single_turn(  # type: ignore[no-untyped-call, no-any-return]
                prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs
            )
        model = self.accelerator.unwrap_model(self.model)
        seed = (self.args.seed * 1_000_003 + self.generation) * 1009 + self.accelerator.process_index
        ended = None
        if self.model.training and isinstance(self.guide, stage2.Begins):
            begin, generation = self.guide.begin, self._this_generation(len(prompt_ids), num_generations)

            def ended(group: int, ids: list[list[int]]) -> None:  # while others are still being sampled
                at = group * num_generations
                rollouts = generation.rollouts(prompt_ids[at : at + num_generations], ids, at)
                begin(rollouts, self.state.global_step, generation.number)

        return self.sampler(model, prompt_ids[::num_generations], num_generations, seed, on_done=ended), None

    def _this_generation(self, rows: int, size: int) -> Generation:
        """Of ``rows`` rollouts on this process, in groups of ``size``."""
        if rows % size:
            raise ConfigError(
                f"{rows} rollouts on this process do not form complete groups of {size}; make "
                "per_device_train_batch_size * steps_per_generation a multiple of num_generations"
            )
        ends, first = frozenset({*self.eos_token_ids, self._tokenizer.pad_token_id}), self.accelerator.process_index * rows
        return Generation(self.generation, self._rows, self.examples, first, size, ends, self._texts)

    def _texts(self, ids: list[list[int]]) -> list[str]:
        """Answers as text, reasoning included. Not TRL's completions: where a tokenizer has a ``response_template``, TRL parses
        the reasoning out of their content, so the guided, verified, and measured text would differ from the trained one."""
        texts: list[str] = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts

    def _message(self, rollout: Rollout) -> dict[str, Any]:
        """A guided rollout in the form for TRL's reward functions, parsed like the others."""
        if all(getattr(self._tokenizer, name, None) is None for name in ("response_template", "response_schema")):
            return {"role": "assistant", "content": rollout.text}
        return parse_response(self._tokenizer, list(rollout.completion_ids), prefix=list(rollout.prompt_ids))

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self._rewards = super()._calculate_rewards(*args, **kwargs)
        return self._rewards

    @property
    def _group_size(self) -> int:
        return self.num_generations if self.model.training else self.num_generations_eval

    @property
    def _all_rewards(self) -> torch.Tensor:
        """(N, F) of this generation, over all processes."""
        assert self._rewards is not None, "TRL asks for the rewards of every generation"
        return self._rewards

    def _equal_rewards_earn_nothing(self, out: dict[str, Any]) -> float:
        """Set the advantage to 0 where TRL's is a rounding error, in the loss and in the logs; returns the share of such rollouts."""
        mode = "train" if self.model.training else "eval"
        size = self._group_size
        each = self.multi_objective_aggregation == "normalize_then_sum"
        equal = equal_groups(self._all_rewards, self.reward_weights, size, each=each)
        first = self.accelerator.process_index * len(out["advantages"])
        mine = slice(first, first + len(out["advantages"]))
        if each:
            out["advantages"] = out["advantages"].masked_fill(equal[mine], 0.0)
        else:
            out["advantages"] = advantages(self._all_rewards, self.reward_weights, size, self.scale_rewards)[mine]
        logged: Any = self._logs["advantages"]  # a deque
        recent = [0.0 if same else a for a, same in zip(list(logged)[-len(equal) :], equal.tolist(), strict=False)]
        for _ in recent:
            logged.pop()
        logged.extend(recent)
        share = equal.float().mean().item()
        if self.scale_rewards != "batch":
            self._metrics[mode]["frac_reward_zero_std"][-1] = share
        return share

    # ---- once for each micro-batch: the loss ---------------------------------------------------------------------------

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """TRL's own path. Needed under Unsloth, whose compute_loss bypasses ``_compute_loss``."""
        plain = self.accelerator.unwrap_model(model)
        if plain is model:
            loss = self._compute_loss(model, inputs)
        else:  # enter through the data-parallel wrapper, so that its gradient hooks run
            loss = through_wrapper(model, plain, self._compute_loss, inputs)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} at step {self.state.global_step}. Everything up to the last "
                "checkpoint is kept; start a new run with a lower train.learning_rate or train.max_grad_norm"
            )
        return loss

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        self._loss_inputs = inputs = dict(inputs)
        kind = self.loss_type
        if kind == "bnpo" and (tokens := self._tokens_of_this_step()):
            # TRL's dapo divides by a number that it is given, independent of the micro-batch
            self.loss_type = "dapo"
            inputs["num_items_in_batch"] = tokens * (
                self.accelerator.num_processes * self.args.steps_per_generation / self.current_gradient_accumulation_steps
            )
        try:
            return super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call, no-any-return]
        finally:
            self._loss_inputs, self.loss_type = None, kind

    def _tokens_of_this_step(self) -> torch.Tensor | None:
        """() tokens that this process trains on in this optimizer step; None if the micro-batch is the whole step."""
        micros = self.current_gradient_accumulation_steps if self.model.training else 1
        if micros == 1 or self._buffered_inputs is None:
            return None
        every = self.args.gradient_accumulation_steps
        first = self._step % self.args.steps_per_generation // every * every
        masks = [x["completion_mask"] * x.get("tool_mask", 1) for x in self._buffered_inputs[first : first + micros]]
        return torch.stack([m.sum() for m in masks]).sum().float()

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        model = self.accelerator.unwrap_model(model)
        inputs, step = self._loss_inputs, batch_size or len(input_ids)

        def forward(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            parts = [
                chosen_logprobs(
                    model, input_ids[r], attention_mask[r], logits_to_keep, self.temperature, self.accelerator.autocast
                )
                for r in rows.split(step)
            ]
            return torch.cat([logps for logps, _ in parts]), torch.cat([entropies for _, entropies in parts])

        every = torch.arange(len(input_ids), device=input_ids.device)
        if inputs is None or self.beta != 0.0 or not torch.is_grad_enabled():
            logps, entropies = forward(every)
        else:  # rows without an advantage have no gradient: a forward pass is enough for their metrics
            live = inputs["advantages"].ne(0) | inputs.get("student_advantages", inputs["advantages"]).ne(0)
            logps, entropies = graph_for(live, forward)
        if inputs is not None and "teacher_mask" in inputs:
            self._shape(inputs, logps, entropies)
        return logps, entropies if compute_entropy else None, None

    def _shape(self, inputs: dict[str, Any], logps: torch.Tensor, entropies: torch.Tensor) -> None:
        """Put the weights into ``inputs`` before TRL reads them, and record them."""
        teacher, now = inputs["teacher_mask"].bool(), logps.detach()
        advantage = inputs["advantages"][:, None].expand_as(now)
        if "student_advantages" in inputs:
            advantage = torch.where(teacher, advantage, inputs["student_advantages"][:, None])
            inputs["advantages"] = advantage
        metrics = self._metrics["train" if self.model.training else "eval"]
        for name, value in by_origin(inputs, teacher, now, entropies, advantage, self.shaping).items():
            metrics[name].append(value)
        if not teacher.any():
            return
        if "importance_sampling_ratio" in inputs:  # (B, 1) or (B, T): of vLLM's samples, without the teacher's tokens
            ratio = inputs["importance_sampling_ratio"].expand_as(now)
            inputs["importance_sampling_ratio"] = torch.where(teacher, 1.0, ratio)
        plain = self.shaping.variant == "ratio" or self.imitate
        weights = torch.ones_like(now) if plain else aas.gradient_weight(now, advantage, self.shaping)
        weights = torch.where(teacher, weights, 1.0)
        if self.on_tokens is not None and self.model.training:
            self._trace(inputs, now, weights)
        if "ref_per_token_logps" in inputs:
            inputs["ref_per_token_logps"] = torch.where(teacher, now, inputs["ref_per_token_logps"])
        if plain:
            return
        inputs["advantages"] = advantage * weights
        old = inputs.get("old_per_token_logps")
        inputs["old_per_token_logps"] = now if old is None else torch.where(teacher, now, old)

    def _trace(self, inputs: dict[str, Any], logps: torch.Tensor, weights: torch.Tensor) -> None:
        lines = traced(inputs, self._to_trace, self.state.global_step, self._tokenizer.decode, logps, weights)
        if lines and self.on_tokens is not None:
            self._to_trace = {row: r for row, r in self._to_trace.items() if r.id not in {line["rollout"] for line in lines}}
            self.on_tokens(lines)

    # ---- after each optimizer step -------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Like TRL's, with the metrics of all generations since the last line."""
        if self.model.training and self._figures:
            logs.update(over_batches(self._figures))
            self._figures.clear()
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Like TRL's, but an incomplete checkpoint is removed."""
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        except Exception as error:  # safetensors and torch.save report a full disk differently
            output = Path(self.args.output_dir or ".")
            folder = output / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(folder, ignore_errors=True)
            free = shutil.disk_usage(output).free
            raise RunError(
                f"cannot write the checkpoint {folder}: {str(error).splitlines()[0]} ({free / 1e6:.1f} MB free on the "
                "disk). The checkpoint before it is kept; free some space and continue with --resume"
            ) from error

    # ---- for callers: the position of the training, and how to move it -------------------------------------

    @property
    def generation(self) -> int:
        """The number of earlier generations: a function of the step, so a resumed run counts correctly."""
        return self.state.global_step * self.args.gradient_accumulation_steps // self._generate_every

    @property
    def between_generations(self) -> bool:
        """True if the last generation is fully trained on: only then can a checkpoint be resumed."""
        return self.state.global_step * self.args.gradient_accumulation_steps % self._generate_every == 0

    @property
    def _generate_every(self) -> int:
        return steps_per_generation(self.args) * self.num_iterations

    def load_checkpoint(self, folder: Path, step: int | None = None) -> None:
        """Load the weights of the checkpoint ``folder``, without training.

        Args:
            step: the new current step; None: unchanged.
        """
        self._load_from_checkpoint(str(folder), self.accelerator.unwrap_model(self.model))
        if step is not None:
            self.state.global_step = step

    def save_checkpoint(self) -> None:
        """Write a checkpoint of the current state, outside the regular saves of ``train``."""
        self._save_checkpoint(self.model, None)
        self.callback_handler.on_save(self.args, self.state, self.control)

    def forget_training(self) -> None:
        """Reset everything except the weights, as if ``train`` had never been called: the next call loads a checkpoint or starts at step 0."""
        self.optimizer = self.lr_scheduler = None
        self._step, self._buffered_inputs = 0, None
        self._figures.clear()
        for metrics in self._metrics.values():
            metrics.clear()

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """Inside, ``compute_loss`` can be called outside of ``train``: its records about the batch are dropped at the end."""
        metrics, self._metrics = self._metrics, copy.deepcopy(self._metrics)
        kept = {name: getattr(self, name, None) for name in ("current_gradient_accumulation_steps", "on_tokens")}
        self.current_gradient_accumulation_steps, self.on_tokens = self.args.gradient_accumulation_steps, None
        try:
            yield
        finally:
            self._metrics = metrics
            for name, value in kept.items():
                setattr(self, name, value)


def _teacher_span(rollout: Rollout, scope: str) -> list[int]:
    """(T,) 1 where a token counts as the teacher's."""
    mask = list(rollout.teacher_mask)
    return [1] * len(mask) if scope == "trajectory" and rollout.guided else mask
