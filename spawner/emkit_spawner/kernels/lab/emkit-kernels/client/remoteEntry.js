// JupyterLab takes extensions as containers of webpack's module federation. This is one by hand: the extension beside it is a plain
// ES module, and what it needs of JupyterLab comes from the scope that all extensions share. (The folder is not called `static`:
// Jupyter lets browsers keep such files for ever, and these bear no hash in their names.)
{
  const here = document.currentScript.src;
  let scope;
  const shared = async (name) => {
    const versions = Object.values(scope[name] ?? {});
    const chosen = versions.find((version) => version.loaded) ?? versions[0]; // the page's own, which is loaded by now
    return (await chosen.get())();
  };
  (window._JUPYTERLAB ??= {})["emkit-kernels"] = {
    init: (given) => { scope = given; },
    get: async () => {
      const { plugin } = await import(new URL("kernels.js", here));
      const found = await plugin(shared);
      return () => ({ __esModule: true, default: found });
    },
  };
}
