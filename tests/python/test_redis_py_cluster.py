"""redis-py's RedisCluster, with the nodes of a cluster that formed itself."""

import os
import unittest

import redis

HOST, PORT = os.environ["LARDER_TEST_HOST"], int(os.environ["LARDER_TEST_PORT"])


class Cases:
    """Every case; the classes below say how to connect."""

    options = {}

    def setUp(self):
        self.r = redis.RedisCluster(host=HOST, port=PORT, socket_timeout=30, **self.options)
        self.addCleanup(self.r.close)
        self.r.flushall(target_nodes="primaries")

    def test_finds_all_nodes(self):
        self.assertEqual(len(self.r.get_primaries()), 3)
        self.assertEqual(self.r.get_replicas(), [])
        self.assertEqual(self.r.cluster_info(target_nodes="random")["cluster_state"], "ok")

    def test_strings(self):
        for number in range(100):
            self.assertTrue(self.r.set(f"key:{number}", number))
        for number in range(100):
            self.assertEqual(self.r.get(f"key:{number}"), str(number).encode())
        self.assertEqual(self.r.incr("counter"), 1)
        self.assertEqual(self.r.delete("key:1", "key:2", "key:3"), 3)
        self.assertEqual(self.r.dbsize(target_nodes="primaries"), 98)
        self.assertEqual(len(list(self.r.scan_iter("key:*"))), 97)

    def test_several_keys(self):
        self.assertTrue(self.r.mset_nonatomic({f"many:{n}": n for n in range(50)}))
        found = self.r.mget_nonatomic([f"many:{n}" for n in range(50)])
        self.assertEqual(found, [str(n).encode() for n in range(50)])
        self.assertTrue(self.r.mset({"{tag}a": 1, "{tag}b": 2}))
        self.assertEqual(self.r.mget("{tag}a", "{tag}b"), [b"1", b"2"])

    def test_pipeline(self):
        with self.r.pipeline() as pipe:
            for number in range(50):
                pipe.set(f"piped:{number}", number)
                pipe.get(f"piped:{number}")
            replies = pipe.execute()
        self.assertEqual(replies[1::2], [str(n).encode() for n in range(50)])

    def test_slots(self):
        slot = self.r.cluster_keyslot("{tag}a")
        self.assertEqual(slot, self.r.keyslot("{tag}b"))
        node = self.r.get_node_from_key("{tag}a")
        self.r.set("{tag}a", 1)
        self.assertEqual(self.r.cluster_countkeysinslot(slot), 1)
        # redis-py decodes this reply in RESP2 only.
        found = self.r.cluster_get_keys_in_slot(slot, 10)
        self.assertIn(found, ([b"{tag}a"], ["{tag}a"]))
        self.assertEqual(self.r.get_node_from_key("{tag}b"), node)


class Resp3(Cases, unittest.TestCase):
    options = {"protocol": 3}


class Resp2(Cases, unittest.TestCase):
    options = {"protocol": 2}


if __name__ == "__main__":
    unittest.main()
