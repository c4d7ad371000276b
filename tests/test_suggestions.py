"""Every place of the code that suggests a command is listed here, with the test that pastes the suggestion."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKERS = {
    "Command",
    "again",
    "with_name",
    "with_key",
    "with_words",
    "larger",
    "making",
    "remake",
    "again_without",
    "verified",
    "audited",
}

PLACES = {
    "artifacts/artifact.py remake_unread": "test_a_dataset_whose_manifest_was_changed_is_removed_and_made_again",
    "artifacts/artifact.py require_whole": "test_a_damaged_input_is_removed_and_made_again_and_then_the_chain_goes_on",
    "artifacts/derived.py _one": "test_a_dataset_that_is_referred_to_and_gone_is_made_again_by_its_suggestion",
    "artifacts/remake.py _made_by": "test_damage_is_removed_and_made_again",
    "artifacts/remake.py again_without": "test_a_damaged_copy_in_the_other_storage_is_removed",
    "artifacts/remake.py audited": "test_an_audit_with_other_settings",
    "artifacts/remake.py larger": "test_too_few_episodes_are_made_more_with_the_policy_and_seed_that_made_them",
    "artifacts/remake.py verified": "test_a_simulator_that_does_not_repeat_itself",
    "artifacts/store.py _catalog": "test_a_library_call_and_a_full_disk_suggest_what_works",
    "artifacts/store.py require": "test_each_missing_input_of_the_chain_in_turn",
    "artifacts/store.py same_content": "test_another_program_gives_other_content",
    "campaign/failures.py _no_room": "test_a_library_call_and_a_full_disk_suggest_what_works",
    "campaign/failures.py _of_the_system": "test_a_read_only_root_suggests_what_reads_it_and_what_makes_more",
    "campaign/run.py __post_init__": "test_a_stage_without_a_domain_and_a_command_without_a_stage",
    "campaign/secret_words.py _then": "test_a_setting_or_a_name_is_mended_by_its_suggestion",
    "campaign/tasks.py _with_dataset": "test_a_dataset_that_no_task_or_not_this_task_has",
    "campaign/tasks.py needs_domain": "test_a_setting_or_a_name_is_mended_by_its_suggestion",
    "campaign/words.py _check_flag": "test_words_that_cannot_be_understood_end_in_the_command_as_it_is_meant",
    "campaign/words.py _instead": "test_words_that_cannot_be_understood_end_in_the_command_as_it_is_meant",
    "campaign/words.py several_values": "test_words_that_cannot_be_understood_end_in_the_command_as_it_is_meant",
    "campaign/words.py unknown_key": "test_words_that_cannot_be_understood_end_in_the_command_as_it_is_meant",
    "dataset/amount.py __post_init__": "test_a_setting_or_a_name_is_mended_by_its_suggestion",
    "dataset/deriving.py own_name": "test_a_derived_dataset_is_mended_by_its_suggestion",
    "dataset/deriving.py parent_name": "test_a_derived_dataset_is_mended_by_its_suggestion",
    "dataset/grow.py _check_files": "test_a_damaged_copy_in_the_other_storage_is_removed",
    "dataset/grow.py same_settings": "test_other_settings_under_the_same_name",
    "dataset/shares.py shares_of": "test_a_dataset_that_refers_to_other_episodes_now_is_made_again",
    "dataset/workspace.py _too_few": "test_too_few_episodes_are_made_more_with_the_policy_and_seed_that_made_them",
    "dataset/workspace.py dataset": "test_a_missing_dataset_of_an_environment_with_arguments",
    "doctor/commands.py _of": "test_what_shows_a_fault_can_be_pasted",
    "doctor/commands.py verify_of": "test_what_shows_a_fault_can_be_pasted",
    "doctor/missing.py _fewer": "test_missing_tasks_and_episodes_are_made_by_what_is_suggested",
    "doctor/missing.py _lacking": "test_missing_tasks_and_episodes_are_made_by_what_is_suggested",
    "doctor/replay.py replayed": "test_episodes_of_another_simulator_are_stepped_again_by_what_is_suggested",
    "embedding/engine.py _check_machine": "test_a_gpu_that_is_not_there",
    "envs/atari/environment.py expert": "test_where_no_expert_is_a_random_policy_plays",
    "envs/dm/environment.py expert": "test_where_no_expert_is_a_random_policy_plays",
    "envs/entry_point.py import_named": "test_a_simulator_that_does_not_repeat_itself",
    "envs/gym/environment.py expert": "test_a_setting_or_a_name_is_mended_by_its_suggestion",
    "envs/mujoco.py expert": "test_where_no_expert_is_a_random_policy_plays",
    "errors.py __init__": "test_a_missing_dataset_of_an_environment_with_arguments",
    "errors.py __str__": "test_a_missing_dataset_of_an_environment_with_arguments",
    "errors.py unknown_name": "test_a_misspelt_task_and_a_misspelt_way",
    "formats/blender/entries.py require_same": "test_an_experiment_of_another_environment",
    "formats/blender/format.py _chosen": "test_a_tree_keeps_one_of_several_observations",
    "formats/blender/labels.py set_labels": "test_labels_that_do_not_fit",
    "formats/blender/laying.py _other_data": "test_other_data_of_a_checkpoint",
    "formats/blender/laying.py require_tree": "test_a_tree_where_none_can_be",
    "formats/blender/laying.py tree_root": "test_a_tree_where_none_can_be",
    "formats/blender/points.py write_points": "test_observations_without_points",
    "formats/blender/registered.py _require_no_contradiction": "test_an_experiment_of_another_environment",
    "formats/blender/registered.py _unknown_experiment": "test_an_experiment_that_is_not_registered",
    "formats/blender/registry.py _elsewhere": "test_a_registry_of_another_version",
    "formats/atlas.py require": "test_the_states_of_one_episode_are_neighbours_of_their_own_by_its_suggestion",
    "formats/exports.py _frames": "test_frames_that_a_form_shows_are_drawn_by_its_suggestion",
    "formats/exports.py _require_rule": "test_an_export_is_mended_by_its_suggestion",
    "formats/image_text/bagel.py _frames": "test_windows_that_do_not_fit_are_mended_by_their_suggestions",
    "formats/image_text/bagel.py task_rows": "test_folders_of_screens",
    "formats/image_text/prefix.py _unfit": "test_a_prefix_that_does_not_fit_is_mended_by_its_suggestion",
    "formats/image_text/prefix.py checked_prefix": "test_a_prefix_that_does_not_fit_is_mended_by_its_suggestion",
    "formats/image_text/prefix.py prefix_of": "test_a_prefix_that_does_not_fit_is_mended_by_its_suggestion",
    "formats/image_text/thinkmorph.py _frames": "test_windows_that_do_not_fit_are_mended_by_their_suggestions",
    "formats/exports.py require_export": "test_an_export_of_other_tasks_is_published_by_its_suggestion",
    "formats/laying.py _link": "test_a_place_that_cannot_be_is_mended_by_its_suggestion",
    "formats/laying.py is_free": "test_a_place_that_is_taken_is_left_for_another",
    "formats/laying.py require_possible": "test_a_place_that_cannot_be_is_mended_by_its_suggestion",
    "formats/ogbench.py _chosen": "test_a_form_of_one_observation_is_told_which_of_several_it_takes",
    "formats/sending.py is_free": "test_a_place_that_is_taken_is_left_for_another",
    "formats/sending.py require_possible": "test_a_place_that_cannot_be_is_mended_by_its_suggestion",
    "formats/lerobot/plan.py _rows": "test_tasks_with_other_arrays_are_exported_one_by_one",
    "hub/card.py _section": "test_a_card_fetches_an_environment_by_entry_point",
    "hub/exports.py _section": "test_the_card_of_an_export_brings_it_back",
    "launchers/refusal.py _on": "test_a_sweep_that_no_cluster_takes_is_run_by_its_suggestion",
    "launchers/refusal.py _without_cluster": "test_a_sweep_that_no_cluster_takes_is_run_by_its_suggestion",
    "machine/provenance.py _command": "test_the_command_in_a_manifest_makes_the_artifact_again",
    "policies/checkpoints.py by_dataset": "test_several_checkpoints_and_one_name",
    "policies/outputs.py _without": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/sb3/agent.py __init__": "test_an_agent_must_be_trusted_and_a_network_too",
    "policies/sb3/agent.py _input": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/sb3/agent.py _stack_hint": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/sb3/agent.py _statistics": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/spaces.py _hint": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/torch_module.py __init__": "test_an_agent_must_be_trusted_and_a_network_too",
    "policies/torch_module.py _chosen": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/torch_module.py _given": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "policies/torch_module.py start": "test_what_does_not_fit_is_mended_by_its_suggestion",
    "regent/chain.py embedding": "test_pictures_need_a_network",
    "regent/chain.py with_two_episodes": "test_too_little_to_retrieve",
    "regent/limits.py _refused": "test_a_number_that_cannot_be_compared",
    "regent/missions.py mission_queries": "test_missions_with_too_few_episodes",
    "regent/recipe.py __post_init__": "test_an_index_without_pages",
    "regent/retrieve.py check_candidates": "test_too_little_to_retrieve",
    "report/sources.py _page": "test_a_page_suggests_frames_with_the_simulator_of_its_dataset",
    "report/page.py _doctor": "test_a_page_leads_to_the_doctor",
    "rollout/frames.py _replay": "test_a_simulator_that_does_not_repeat_itself",
    "rollout/replay.py _check_observation": "test_a_page_without_pictures_because_the_simulator_does_not_repeat_itself",
    "sources/d4rl.py _bounds": "test_a_d4rl_file_without_timeouts_is_read_with_the_length_of_its_episodes",
    "sources/frames/screens.py observations": "test_folders_of_screens",
    "sources/frames/source.py _place": "test_folders_of_screens",
    "sources/hdf5.py require_layout": "test_a_file_of_the_other_hdf5_layout_names_its_door",
    "sources/lram/reading.py _read_pickle": "test_pickles_are_read_when_they_are_trusted",
    "sources/rlhf_blender/reading.py _objects": "test_infos_that_are_code_are_trusted_or_left_out",
    "sources/rlhf_blender/tree.py _only": "test_a_tree_of_several_checkpoints",
    "sources/rlds/layout.py _folder": "test_a_folder_of_rlds_is_mended_by_its_suggestion",
    "sources/rlds/source.py _require_episodes": "test_a_folder_of_rlds_is_mended_by_its_suggestion",
    "sources/rlds/source.py _unreadable": "test_a_folder_of_rlds_is_mended_by_its_suggestion",
    "sources/minari/source.py _in_root": "test_a_root_of_two_minari_datasets",
    "sources/lerobot/conventions.py _check_videos": "test_videos_are_decoded_or_left_out",
    "stages/catalog.py run": "test_a_catalog_of_nothing",
    "stages/collect.py _budget": "test_a_setting_or_a_name_is_mended_by_its_suggestion",
    "stages/doctor.py _nothing_there": "test_a_name_that_no_task_has_ends_in_the_names_that_there_are",
    "stages/embeddings.py run": "test_pictures_need_a_network",
    "stages/export.py _laid": "test_an_export_that_is_damaged_is_made_again",
    "stages/export.py _together": "test_tasks_of_a_set_that_joins_them_are_exported_together",
    "stages/export.py foresee": "test_an_export_is_mended_by_its_suggestion",
    "stages/export.py foresee_several": "test_one_file_for_several_tasks_is_mended_by_its_suggestion",
    "stages/export.py run": "test_an_export_is_mended_by_its_suggestion",
    "stages/gc.py run": "test_garbage_goes_and_an_empty_place_is_begun",
    "stages/ingest.py _answering": "test_data_of_which_nobody_says_the_task",
    "stages/ingest.py foresee": "test_no_source_and_too_few_episodes_of_one",
    "stages/ingest.py run": "test_a_source_with_too_few_episodes",
    "stages/register.py foresee": "test_a_tree_where_none_can_be",
    "stages/report_index.py run": "test_an_index_without_pages",
    "stages/select.py _expression": "test_a_derived_dataset_is_mended_by_its_suggestion",
    "stages/split.py _parts": "test_a_derived_dataset_is_mended_by_its_suggestion",
    "stages/stitch.py reads": "test_a_derived_dataset_is_mended_by_its_suggestion",
    "stages/sync.py _asked": "test_a_copy_is_told_where_to_go_and_replaces_what_it_names",
    "stages/verify.py _remake": "test_damage_is_removed_and_made_again",
    "stages/verify.py run": "test_an_audit_with_other_settings",
    "sync/run.py _replacing": "test_a_copy_is_told_where_to_go_and_replaces_what_it_names",
    "views/opened.py _renewed": "test_an_older_copy_is_not_read_in_silence",
    "views/pictures.py _pictures_of": "test_pictures_that_a_view_shows_are_drawn_by_its_suggestion",
    "views/stored_rows.py _read": "test_a_chunk_that_is_damaged_while_a_view_reads_it",
}


def test_each_place_that_suggests_a_command_is_listed():
    """Add a new one with a test that pastes it."""
    files = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").rglob("*.py"), ROOT / "run.py"]
    found: Counter[str] = Counter()
    for path in files:
        name = path.relative_to(ROOT).as_posix().removeprefix("pipeline/")
        for function in ast.walk(ast.parse(path.read_text())) if name != "command.py" else ():
            if isinstance(function, ast.FunctionDef) and _suggests(function):
                found[f"{name} {function.name}"] += 1
    assert sorted(found) == sorted(PLACES)


def _suggests(function: ast.FunctionDef) -> bool:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id in MAKERS for called in calls)


@pytest.mark.parametrize("test", sorted({*PLACES.values()}))
def test_the_listed_test_is_there(test):
    assert any(f"def {test}(" in path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
