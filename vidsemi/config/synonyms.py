"""Names that other programs have for keys: an unknown key is answered with the one that is meant."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from vidsemi.config.base import Section

# Key → its names elsewhere (SlowFast, MMAction2, pytorchvideo, timm, VideoMAE, Lightning, Hugging Face), in lower case
# and with underscores.
NAMES = {
    "examples": "epochs epoch num_epochs n_epochs max_epochs max_epoch total_epochs num_train_epochs iterations iters "
    "num_iters max_iters max_iter steps num_steps max_steps total_steps train_steps length duration",
    "batch_size": "batch bs batchsize batch_sizes global_batch_size total_batch_size train_batch_size "
    "batch_size_per_gpu per_device_train_batch_size videos_per_gpu samples_per_gpu",
    "micro_batches": "accumulation grad_accum grad_accumulation accum_iter accumulate_grad_batches accumulation_steps "
    "gradient_accumulation gradient_accumulation_steps update_freq micro_batch",
    "learning_rate": "lr base_lr max_lr peak_lr init_lr initial_lr learningrate learning_rates rate eta step_size",
    "base_batch_size": "lr_base_size lr_batch_size auto_scale_lr",
    "warmup_examples": "warmup warm_up warmup_epochs warmup_steps warmup_iters warmup_ratio num_warmup_steps",
    "warmup_start_lr": "warmup_lr warmup_lr_init start_lr warmup_factor",
    "schedule": "scheduler sched lr_scheduler lr_schedule lr_policy lr_scheduler_type policy_lr decay",
    "lr_steps": "milestones lr_milestones decay_epochs decay_steps step_epochs drops num_drops",
    "lr_gamma": "gamma lr_decay decay_rate decay_factor drop_factor",
    "weight_decay": "wd l2 weightdecay decay_weight l2_reg",
    "no_decay_norm_and_bias": "no_bias_decay no_weight_decay filter_bias_and_bn paramwise_cfg",
    "max_grad_norm": "clip_grad grad_clip clip_grad_norm gradient_clip gradient_clip_val clip_norm "
    "clip_gradients max_norm",
    "label_smoothing": "smoothing label_smooth label_smoothing_factor",
    "mixup": "mixup_alpha mix_up alpha",
    "ema": "ema_decay model_ema model_ema_decay ema_momentum",
    "precision": "amp fp16 bf16 half dtype mixed_precision use_amp",
    "optimizer": "optim opt optimizer_type optim_wrapper",
    "layer_decay": "layerwise_decay layer_wise_decay layer_decay_rate lr_layer_decay llrd",
    "freeze_until": "frozen_stages freeze_at freeze_layers freeze_backbone",
    "frozen_batch_norm": "norm_eval bn_frozen freeze_bn frozen_bn",
    "gradient_checkpointing": "with_cp act_checkpoint activation_checkpointing grad_checkpointing use_checkpoint",
    "temperature": "distill_temperature kd_temperature",
    "sync_batch_norm": "sync_bn syncbn norm_type",
    "precise_batch_norm": "precise_bn use_precise_stats num_batches_precise",
    "clips_per_video": "num_sample repeated_aug repeated_augmentation",
    "keep": "save_best best load_best load_best_model_at_end monitor",
    "validations": "eval_period eval_freq eval_steps val_interval validate_every val_check_interval",
    "labeled": "train training train_set trainset train_csv train_data labelled labels label d",
    "unlabeled": "unlabelled unsup unsupervised unlabeled_set extra u",
    "weak": "w hashtag weakly weakly_labeled",
    "test": "test_set testset testing test_csv test_data",
    "validation": "val valid dev eval val_set validation_set val_csv validation_fraction validation_split val_split "
    "val_ratio val_fraction val_size holdout",
    "share": "fraction ratio portion percent",
    "repeat_factor": "oversample oversampling class_balanced balance sampler sampling repeats",
    "root": "prefix data_prefix path_prefix video_root root_dir data_root",
    "manifest": "path file csv ann_file annotations annotation_file filename",
    "per_class": "k topk top_k per_label num_per_class samples_per_class",
    "per_example": "p per_video per_image max_labels",
    "min_score": "threshold score_threshold min_confidence confidence tau",
    "policy": "strategy selection method_of_selection",
    "frames": "num_frames n_frames clip_len clip_length sequence_length seq_len temporal_size frames_per_clip t",
    "stride": "sampling_rate sample_rate frame_interval frame_stride frame_step dilation skip frame_skip",
    "resize": "short_side shortside short_side_size scale resize_size min_side jitter_scales",
    "crop": "size crop_size cropsize img_size image_size input_size side resolution",
    "hflip_prob": "flip hflip horizontal_flip random_flip flip_prob flip_ratio",
    "random_resized_crop_scale": "crop_area area scale_range rrc random_resized_crop crop_scale",
    "std": "stds sigma stddev",
    "mean": "means mu",
    "decoder": "backend reader video_reader decode_backend decoding_backend io_backend",
    "model": "arch architecture backbone network net model_name model_type",
    "args": "kwargs model_args model_kwargs params arguments options",
    "init_from": "pretrained checkpoint ckpt weights init resume load_from resume_from checkpoint_path "
    "pretrained_path finetune_from",
    "frozen": "freeze trained is_frozen",
    "workers": "num_workers n_workers nw num_threads threads workers_per_gpu dataloader_num_workers",
    "device": "gpu gpus cuda devices accelerator",
    "clips_per_forward": "inference_batch_size test_batch_size eval_batch_size",
    "checkpoint_seconds": "checkpoint_interval save_interval save_every checkpoint_period",
    "seconds_per_file": "timeout decode_timeout",
    "views": "num_views n_views num_clips n_clips clips num_segments test_clips num_ensemble_views",
    "crops": "num_crops n_crops spatial_crops test_crops num_spatial_crops ten_crop",
    "output": "out output_dir out_dir work_dir log_dir save_dir exp_dir run_dir default_root_dir result_dir",
    "seeds": "seed random_seed manual_seed rng_seed random_state",
    "students": "student models",
    "approaches": "approach method methods mode modes",
    "transfer": "targets target transfers downstream",
}
KEYS = {name: key for key, names in NAMES.items() for name in names.split()}

# Answers where there is a key for it only in other units, or none.
NOTES = {
    "examples": ", the length in examples processed: epochs × size of the training set, or steps × batch size",
    "warmup_examples": ", in examples processed: warm-up epochs × size of the training set, or steps × batch size",
}
ANSWERS = {
    "num_classes": "there is none: the classes are the labels of data.labeled",
    "nb_classes": "there is none: the classes are the labels of data.labeled",
    "classes": "there is none: the classes are the labels of data.labeled",
    "early_stopping": "there is none: `keep: best` in a recipe keeps the best weights on data.validation",
    "patience": "there is none: `keep: best` in a recipe keeps the best weights on data.validation",
}


def hint_for(location: Sequence[int | str], kind: type[BaseModel]) -> str:
    """What to write instead of an unknown key at a place of a config; empty if nothing comes close."""
    name = str(location[-1]).strip().lower().replace("-", "_")
    prefix, here = _section_at(location[:-1], kind)
    meant = name if name in here.model_fields else KEYS.get(name, name)
    elsewhere = [path for path in key_paths(kind) if path.rpartition(".")[2] == meant]
    if meant in here.model_fields:
        found = meant
    elif elsewhere:  # the closest one: below this section, else near the top, of recipes the first of the students
        found = min(elsewhere, key=lambda path: (not path.startswith(prefix), path.count("."), path[:6] != "train."))
    elif near := difflib.get_close_matches(name, here.model_fields, n=1):
        found = near[0]
    else:
        return f"; {ANSWERS[name]}" if name in ANSWERS else ""
    return f"; the key is '{found}'{NOTES[meant]}" if meant in NOTES else f"; did you mean '{found}'?"


def _section_at(location: Sequence[int | str], kind: type[BaseModel]) -> tuple[str, type[BaseModel]]:
    section = kind
    for part in location:
        if isinstance(part, str) and part in section.model_fields:
            section = next(_sections(section.model_fields[part].annotation), section)
    return "".join(f"{part}." for part in location), section


def key_paths(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The paths of all keys, those of a section before those of the sections in it."""
    inner = []
    for name, field in kind.model_fields.items():
        yield prefix + name
        if section := next(_sections(field.annotation), None):
            several = "" if next(_sections(field.annotation, in_lists=False), None) else "0."
            inner.append((section, f"{prefix}{name}.{several}"))
    for section, path in inner:
        yield from key_paths(section, path)


def _sections(annotation: Any, *, in_lists: bool = True) -> Iterator[type[BaseModel]]:
    """Yield the config sections in a type annotation such as `Recipe | None` or `tuple[Student, ...]`."""
    if get_origin(annotation) is tuple and not in_lists:
        return
    for own in get_args(annotation):
        yield from _sections(own, in_lists=in_lists)
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
