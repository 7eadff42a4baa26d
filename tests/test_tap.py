"""What twistd finds and is told. Synchronous TestCases: `trial` runs them, too."""

import contextlib
import io
import os
import signal
import tempfile

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from tinfront import __version__, tap

# trial changes the directory before it runs the tests
DEMO = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "etc", "site.ini")
GOOD = "[listen:a]\naddress = 127.0.0.1:0\n[site:s]\ndefault = yes\n[route:s /]\nrespond = 200\n"


class OptionsTests(SynchronousTestCase):
    """``Options`` reads the configuration while errors can still be shown."""

    def setUp(self):
        # Whatever reactor runs these tests has been chosen already.
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = os.path.join(directory.name, "site.ini")

    def parse(self, text):
        """The options, and what was said on standard error and output."""
        with open(self.file, "w") as file:
            file.write(text)
        said = io.StringIO()
        options = tap.Options()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            try:
                options.parseOptions(["--config", self.file])
            except SystemExit as error:
                return error.code, said.getvalue()
        return options, said.getvalue()

    def test_good_file(self):
        """It becomes the model; a reactor that is there is not replaced."""
        import twisted.internet.reactor  # noqa: F401

        options, said = self.parse(GOOD)
        self.assertEqual([site.name for site in options.model.sites], ["s"])
        self.assertIsNone(options.loop)
        self.assertEqual(said, "")

    def test_bad_file(self):
        """All errors, then how many there were; the exit code is that of sysexits.h."""
        code, said = self.parse(GOOD.replace("respond", "repond") + "[site:t]\nhost = t\n")
        self.assertEqual(code, tap.EX_CONFIG)
        self.assertIn(':6: [route:s /] repond: unknown option, did you mean "respond"?', said)
        self.assertIn(':8: [site:t] host: unknown option, did you mean "hosts"?', said)
        self.assertIn("nothing started", said)

    def test_version(self):
        """It is tinfront's, not Twisted's."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--version"])
        self.assertEqual((caught.exception.code, said.getvalue()), (0, f"tinfront {__version__}\n"))


class PluginTests(SynchronousTestCase):
    """twistd finds the command."""

    def test_found(self):
        """Once, under its name, with a description."""
        makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "tinfront"]
        self.assertEqual(len(makers), 1)
        self.assertEqual(makers[0].module, "tinfront.tap")
        self.assertIs(makers[0].options, tap.Options)

    def test_a_hup_does_not_end_it_while_it_starts(self):
        """From the moment at which the configuration is read."""
        self.addCleanup(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL))
        tap.Options().parseOptions(["--config", str(DEMO)])
        self.assertTrue(callable(signal.getsignal(signal.SIGHUP)))

    def test_demo_site(self):
        """The file of ``make run`` is right."""
        self.assertEqual(list(tap.read(DEMO).apps), ["demo"])
