import keras

from t2t_keras.training.checkpoint import variables


def test_each_of_twelve_devices_gets_its_value_back(monkeypatch):
    copies = [keras.Variable(float(device)) for device in range(12)]
    monkeypatch.setattr(variables, "_copies", lambda variable: copies)
    named = {"model/seed": copies[0]}
    arrays = variables.captured(named)
    for copy in copies:
        copy.assign(-1.0)
    variables.restore(named, dict(reversed(arrays.items())))  # a file has an order of its own
    assert [float(copy) for copy in copies] == list(range(12))
