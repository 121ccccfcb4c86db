"""Runs under different protocols never share an average."""

import dataclasses

from reports.tables.captions import conditions
from reports.tables.comparison import comparisons, tasks_by_group
from reports.tables.summary import on_common_tasks, summaries
from reports.tables.table import Table, in_order
from reports.views.accuracy import report
from results import Record, frame


def column(table: Table, key: str) -> list[str]:
    (place,) = [place for place, column in enumerate(table.columns) if column.key == key]
    return [table.columns[place].number(row[place]) for row in table.rows]


def tables(*records) -> list[Table]:
    return report(frame(records))


def test_suites_backbones_and_recipes_have_tables_of_their_own(make) -> None:
    found = tables(make(), make(suite="vtab"), make(backbone="swin_b"), make(recipe_name="paper"))
    assert [table.name for table in found] == [
        "accuracy-demo-vit_b16-common",
        "accuracy-vtab-vit_b16-common",
        "accuracy-demo-swin_b-common",
        "accuracy-demo-vit_b16-paper",
    ]


def test_one_method_under_two_protocols_has_two_lines(make) -> None:
    (table,) = tables(make(accuracy=0.4), make(accuracy=0.6, recipe={"batch_size": 32}))
    assert column(table, "method") == ["lora (batch size 32)", "lora (batch size 64)"]
    assert column(table, "test_accuracy_cifar") == ["60.0", "40.0"]
    assert column(table, "recipe_batch_size") == ["32", "64"]
    assert "batch size as listed" in table.caption


def test_tasks_under_two_protocols_make_no_mean(make) -> None:
    (table,) = tables(make(), make(task="dtd", recipe={"precision": "bf16"}))
    assert column(table, "method") == ["lora (precision bf16)", "lora (precision fp32)"]
    assert column(table, "test_accuracy_natural_mean") == ["", ""]


def test_methods_with_protocols_of_their_own_show_them_in_a_column(make) -> None:
    (table,) = tables(make("dtl", recipe={"epochs": 110}), make())
    assert column(table, "method") == ["dtl", "lora"]
    assert column(table, "recipe_epochs") == ["110", "100"]
    (table,) = tables(make("dtl"), make())
    assert "recipe_epochs" not in [column.key for column in table.columns]
    assert "epochs 100" in table.caption


def test_a_rate_of_its_own_for_each_task_is_one_protocol(make) -> None:
    (table,) = tables(make(), make(task="dtd", recipe={"learning_rate": 0.01}))
    assert column(table, "method") == ["lora"]


def test_two_rates_on_one_task_are_never_averaged(make) -> None:
    (table,) = tables(make(), make(seed=1, recipe={"learning_rate": 0.01}))
    assert column(table, "method") == ["lora (learning rate 0.001)", "lora (learning rate 0.01)"]


def test_a_setting_that_older_records_lack_does_not_split(make) -> None:
    runs = frame([make(), make(seed=1, recipe={"cooldown": 5})])
    (table,) = report(runs)
    assert column(table, "method") == ["lora"]


def test_times_of_two_devices_share_no_mean(make) -> None:
    (table,) = tables(make(), make(seed=1, device="NVIDIA H200"))
    assert column(table, "epoch_seconds") == ["mixed"]
    assert column(table, "where_device") == ["NVIDIA H200 / cpu"]
    assert column(table, "test_accuracy_cifar") == ["50.0"]


def test_files_of_other_weights_are_another_backbone(make) -> None:
    found = tables(make(), make(weights="1a2b3c4d"))
    assert ["weights 1a2b3c4d" in table.caption for table in found] == [False, True]
    assert [table.name for table in found] == [f"accuracy-demo-vit_b16-common{end}" for end in ("", "-1a2b3c4d")]


def test_a_batch_that_the_recipe_sets_for_each_task_is_one_protocol(make) -> None:
    short = make("vpt_deep", settings={"tokens": 10})
    long = make("vpt_deep", "dtd", settings={"tokens": 200}, recipe={"batch_size": 32})
    (table,) = tables(short, long)
    assert column(table, "method") == ["vpt_deep"]
    assert column(table, "recipe_batch_size") == ["32 / 64"]
    (table,) = tables(short, long, make("vpt_deep", settings={"tokens": 10}, seed=1, recipe={"batch_size": 16}))
    assert len(table.rows) == 3


def test_what_a_source_printed_is_not_mistaken_for_what_is_shown(make) -> None:
    (table,) = tables(make(), make("dtl", recipe={"reported": "best"}))
    assert "source reports as listed" in table.caption
    assert column(table, "recipe_reported") == ["best", "last"]
    assert "Test accuracy (%) of the last epoch" in table.caption


def test_order_of_groups_and_tasks(make) -> None:
    places = {"d": (3, "structured"), "b": (0, "own"), "c": (2, "natural"), "a": (1, "natural")}
    runs = frame([make(task=task, place=place, group=group) for task, (place, group) in places.items()])
    assert list(tasks_by_group(runs).items()) == [("natural", ["a", "c"]), ("structured", ["d"]), ("own", ["b"])]
    assert tasks_by_group(runs.drop(columns="place"))["natural"] == ["c", "a"]


def test_order_of_methods() -> None:
    methods = ["full (epochs 3)", "linear", "dtl", "lora:rank=4", "lora:rank=16"]
    assert in_order(reversed(methods)) == methods


def test_options_that_cut_memory_stand_behind_the_method(make) -> None:
    less = {"activations": "regelu2,velora:fc2:groups=16", "optimizer": "adamw8bit", "optimizer_in_backward": True}
    (table,) = tables(
        make(accuracy=0.4), make(accuracy=0.6, recipe=less), make(accuracy=0.5, recipe={"activations": ""})
    )
    assert column(table, "method") == [
        "lora",
        "lora + ReGELU2 + VeLoRA (fc2:groups=16) + 8-bit AdamW + step in backward",
    ]
    assert column(table, "test_accuracy_cifar") == ["45.0", "60.0"]


def test_a_second_folder_of_images_blanks_no_row_of_the_first(make) -> None:
    own = [make("lora", task, seed=0, accuracy=0.5) for task in ("cats", "dogs")]
    own = [dataclasses.replace(one, identity=dataclasses.replace(one.identity, suite="folder")) for one in own]
    found = comparisons(frame(own))
    assert [comparison.suite for comparison in found] == ["folder:cats", "folder:dogs"]
    assert all(line.headline.value == 0.5 for comparison in found for line in summaries(comparison))
    assert [comparison.name for comparison in found] == [f"folder-{name}-vit_b16-common" for name in ("cats", "dogs")]


def test_weight_files_are_named(make) -> None:
    def trained(file: str, digest: str) -> Record:
        record = make("lora", "cifar100", seed=0, accuracy=0.5)
        command = f"python bench.py --backbone {record.identity.backbone}={file} --methods lora"
        identity = dataclasses.replace(record.identity, changes={"weights": digest})
        where = dataclasses.replace(record.where, command=command)
        return dataclasses.replace(record, identity=identity, where=where)

    found = comparisons(frame([trained("mae.pth", "11111111"), trained("dino.safetensors", "22222222")]))
    assert [comparison.file for comparison in found] == ["mae.pth", "dino.safetensors"]
    assert len({comparison.name for comparison in found}) == 2
    assert "=mae.pth (weights 11111111)" in conditions(found[0])


def test_a_method_that_lacks_a_task_keeps_its_costs_and_its_place(make) -> None:
    tasks = ("cifar100", "dtd", "clevr_count")
    records = [make(name, task, seed=0, accuracy=0.5) for name in ("lora", "dtl") for task in tasks]
    records = [one for one in records if (one.identity.method, one.identity.task) != ("dtl", "dtd")]
    records.append(make("linear", "dtd", seed=0, accuracy=0.5))  # too few to have a place
    (comparison,) = comparisons(frame(records))
    by_label = {line.label: line for line in summaries(comparison)}
    assert by_label["dtl"].headline.value is None
    assert by_label["dtl"].costs["trainable"].value == 1000
    common, said = on_common_tasks(comparison)
    assert said == " On the 2 of 3 tasks that all methods shown have, without dtd."
    assert [line.label for line in summaries(common) if line.headline.value is not None] == ["dtl", "lora"]
