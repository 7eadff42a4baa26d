"""What signals do. Synchronous TestCases: `trial` runs them, too."""

import os
import signal

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tinfront.signals import Signals, remember_early


class Reactor(MemoryReactorClock):
    """Collects what is to be called from the reactor's thread."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def callFromThread(self, act, *arguments):
        self.calls.append((act, arguments))


class SignalsTests(SynchronousTestCase):
    """``Signals`` runs actions in the reactor when signals come."""

    def setUp(self):
        self.reactor = Reactor()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def act(self):
        """An action that is told apart by its identity only."""

    def test_action_runs_in_the_reactor(self):
        """The handler itself does nothing but hand the action over."""
        Signals(self.reactor, {signal.SIGHUP: self.act}).install()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.reactor.calls, [(self.act, ())])

    def test_a_hup_that_came_early(self):
        """It does not end the process, and is made up for once."""
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        remember_early()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        for calls in ([(self.act, ())], []):
            signals = Signals(self.reactor, {signal.SIGHUP: self.act, signal.SIGUSR1: self.act})
            signals.install()
            self.assertEqual(self.reactor.calls, calls)
            self.reactor.calls.clear()
            signals.restore()

    def test_a_usr1_that_came_early(self):
        """It is made up for once, and remembers nothing more once the server runs."""
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        remember_early()
        os.kill(os.getpid(), signal.SIGUSR1)
        signals = Signals(self.reactor, {signal.SIGUSR1: self.act})
        signals.install()
        self.assertEqual(self.reactor.calls, [(self.act, ())])
        os.kill(os.getpid(), signal.SIGUSR1)
        self.assertEqual(self.reactor.calls, [(self.act, ())] * 2)
        signals.restore()
        signals.install()
        self.addCleanup(signals.restore)
        self.assertEqual(self.reactor.calls, [(self.act, ())] * 2)

    def test_only_those_that_are_named(self):
        """twistd has something to do with USR1 itself, if nobody else has."""
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        remember_early([signal.SIGHUP])
        self.assertIsNot(signal.getsignal(signal.SIGHUP), signal.SIG_DFL)
        self.assertIs(signal.getsignal(signal.SIGUSR1), signal.SIG_DFL)

    def test_a_hup_that_is_ignored_stays_so(self):
        """Until the server runs: that is what nohup asks for."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        remember_early()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    def test_restore(self):
        """Whoever had the signal before gets it back."""
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGHUP, before)
        signals = Signals(self.reactor, {signal.SIGHUP: self.act})
        signals.install()
        self.assertIsNot(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
        signals.restore()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    def test_usr1_still_rotates_the_log_of_twistd(self):
        """twistd's own handler is called first, then the action."""
        rotated = []
        signal.signal(signal.SIGUSR1, lambda number, frame: rotated.append(number))
        Signals(self.reactor, {signal.SIGUSR1: self.act}).install()
        os.kill(os.getpid(), signal.SIGUSR1)
        self.assertEqual(rotated, [signal.SIGUSR1])
        self.assertEqual(self.reactor.calls, [(self.act, ())])
